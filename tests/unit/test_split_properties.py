"""The split of observed strategies: what holds for any generations, and a second count of it in fractions, one problem after another."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.analysis.mechanisms import Observed, split_observed
from selectimprove.analysis.splitting import split
from selectimprove.analysis.stats import bootstrap_weights, change_interval

N_PROBLEMS = 4
PARTS = ("selection", "improvement")
# Per problem its generations, as many as there happen to be, each with its strategy and whether it is correct.
models = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=4),
    min_size=N_PROBLEMS,
    max_size=N_PROBLEMS,
)
counts = st.lists(st.integers(0, 3), min_size=N_PROBLEMS, max_size=N_PROBLEMS).filter(any)


def table_of(model: list) -> pd.DataFrame:
    rows = [(number, *one) for number, answers in enumerate(model) for one in answers]
    return pd.DataFrame(rows, columns=["problem_id", "strategy", "correct"])


def count(model: list, weights: list[int], strategy: str, assumed: Fraction) -> tuple[Fraction, Fraction]:
    """Share and pass rate of a strategy; the assumed rate where it is never taken."""
    share = passed = Fraction(0)
    for weight, answers in zip(weights, model, strict=True):
        own = [correct for taken, correct in answers if taken == strategy]
        share += Fraction(weight * len(own), sum(weights) * len(answers))
        passed += Fraction(weight * sum(own), sum(weights) * len(answers))
    return share, passed / share if share else assumed


def split_slowly(
    before: list, after: list, weights: list[int], assumed: dict[str, Fraction]
) -> tuple[Fraction, Fraction]:
    selection = improvement = Fraction(0)
    for strategy in "abc":
        share, rate = count(before, weights, strategy, assumed[strategy])
        share_after, rate_after = count(after, weights, strategy, assumed[strategy])
        selection += (share_after - share) * (rate + rate_after) / 2
        improvement += (share + share_after) / 2 * (rate_after - rate)
    return selection, improvement


def pass_rate(model: list, weights: list[int]) -> Fraction:
    rates = [Fraction(sum(correct for _, correct in answers), len(answers)) for answers in model]
    return sum(weight * rate for weight, rate in zip(weights, rates, strict=True)) / sum(weights)


def split_quickly(before: list, after: list, weights: list[int]) -> dict[str, float]:
    sides = (Observed.of(table_of(model), pd.RangeIndex(N_PROBLEMS), pd.Index([*"abc"])) for model in (before, after))
    return {name: float(value) for name, value in split_observed(np.array(weights), *sides).items()}


@settings(max_examples=150, deadline=None)
@given(models, models, counts)
def test_the_parts_add_up_to_the_change(before, after, weights):
    parts = split_quickly(before, after, weights)
    change = float(pass_rate(after, weights) - pass_rate(before, weights))
    assert parts["selection"] + parts["improvement"] == pytest.approx(change, abs=1e-12)
    assert parts["selection_least"] + parts["improvement_most"] == pytest.approx(change, abs=1e-12)
    assert parts["selection_most"] + parts["improvement_least"] == pytest.approx(change, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(models, models, counts, st.lists(st.fractions(0, 1, max_denominator=8), min_size=3, max_size=3))
def test_a_count_in_fractions_agrees_and_lies_between_the_bounds(before, after, weights, rates):
    found = split_quickly(before, after, weights)
    exact = split_slowly(before, after, weights, dict(zip("abc", rates, strict=True)))
    # Each unknown rate at either end: the worst and the best of all ways to choose them.
    corners = [
        split_slowly(before, after, weights, dict(zip("abc", map(Fraction, corner), strict=True)))
        for corner in np.ndindex(2, 2, 2)
    ]
    for number, name in enumerate(PARTS):
        values = [float(corner[number]) for corner in corners]
        assert found[f"{name}_least"] == pytest.approx(min(values), abs=1e-12)
        assert found[f"{name}_most"] == pytest.approx(max(values), abs=1e-12)
        for value in (float(exact[number]), found[name]):
            assert min(values) - 1e-12 <= value <= max(values) + 1e-12
        if min(values) == max(values):
            assert found[name] == pytest.approx(values[0], abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(models, models)
def test_there_and_back_are_the_same_with_other_signs(before, after):
    tables = table_of(before), table_of(after)
    there, back = (split(*pair, n_bootstrap=2).parts.iloc[0] for pair in (tables, tables[::-1]))
    for name in ("change", *PARTS):
        assert there[name] == pytest.approx(-back[name], abs=1e-12)
    assert there["identified"] == back["identified"]


@pytest.mark.parametrize("share", [0.5, 0.02, 0.002])
def test_intervals_cover_the_truth_however_rare_a_strategy_was(share):
    """Over 200 draws, intervals hold the truth in 95 % of cases; 90 % is 3.2 standard errors below. Those of rare strategies are wider than that."""
    n, n_samples, share_after, rates = 128, 2, 0.9, np.array([[0.1, 0.5], [0.1, 0.8]])
    truth = (share_after - share) * (0.65 - 0.1), (share + share_after) / 2 * 0.3
    rng = np.random.default_rng(0)

    def draw(share: float, rate: np.ndarray) -> Observed:
        second = rng.binomial(n_samples, share, n)
        taken = np.stack([n_samples - second, second], axis=1)
        return Observed(taken, rng.binomial(taken, rate))

    weights = np.vstack([np.ones(n), bootstrap_weights(np.zeros(n), 300, 0)])
    covered = dict.fromkeys(PARTS, 0)
    for _ in range(200):
        parts = split_observed(weights, draw(share, rates[0]), draw(share_after, rates[1]))
        for name, value in zip(PARTS, truth, strict=True):
            (low, _), (_, high) = (change_interval(parts[f"{name}_{end}"][1:], n, 0.95) for end in ("least", "most"))
            covered[name] += low <= value <= high
    assert all(number >= 180 for number in covered.values()), covered
