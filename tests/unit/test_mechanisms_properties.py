"""The split of a change in pass@1: what holds for any two models."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.analysis.mechanisms import PARTS, Behaviour, split_change


@st.composite
def behaviours(draw, n: int = 5, n_strategies: int = 2) -> Behaviour:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    taken = rng.dirichlet(np.ones(n_strategies + 1) * draw(st.sampled_from([0.1, 1.0])), n)
    told, greedy = rng.random((n, n_strategies)), rng.integers(0, 2, (n, n_strategies)).astype(float)
    return Behaviour(taken, taken[:, -1] * rng.random(n), told, greedy)


def pass_rate(weights: np.ndarray, model: Behaviour) -> float:
    """pass@1 as the chain rule has it, one problem after another."""
    total = 0.0
    for weight, taken, passed_other, told in zip(weights, model.taken, model.passed_other, model.told, strict=True):
        total += weight * (passed_other + sum(share * rate for share, rate in zip(taken, told, strict=False)))
    return total / weights.sum()


@settings(max_examples=100, deadline=None)
@given(behaviours(), behaviours(), st.lists(st.integers(1, 4), min_size=5, max_size=5))
def test_the_parts_add_up_to_the_change(before, after, weights):
    weights = np.array(weights, dtype=float)
    parts = split_change(weights, before, after)
    change = pass_rate(weights, after) - pass_rate(weights, before)
    assert sum(parts[name] for name in PARTS) == pytest.approx(change, abs=1e-9)
    assert parts["improvement"] == pytest.approx(parts["sharpening"] + parts["capability"], abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(behaviours())
def test_nothing_changes_between_a_model_and_itself(model):
    assert all(abs(part) < 1e-12 for part in split_change(np.ones(5), model, model).values())


@settings(max_examples=50, deadline=None)
@given(behaviours(), behaviours())
def test_selection_is_the_same_size_there_and_back(before, after):
    there, back = split_change(np.ones(5), before, after), split_change(np.ones(5), after, before)
    assert there["selection"] == pytest.approx(-back["selection"], abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(behaviours(), behaviours(), st.integers(0, 2**32))
def test_resamples_are_split_one_by_one(before, after, seed):
    weights = np.random.default_rng(seed).integers(1, 5, (3, 5)).astype(float)
    together = split_change(weights, before, after)
    for number, row in enumerate(weights):
        for name, value in split_change(row, before, after).items():
            assert together[name][number] == pytest.approx(value, abs=1e-12)
