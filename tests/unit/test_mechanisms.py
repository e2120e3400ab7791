import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selectimprove.analysis.mechanisms import split_change


@st.composite
def counts(draw):
    used = draw(arrays(int, 3, elements=st.integers(0, 50)).filter(lambda u: u.sum() > 0))
    passed = np.array([draw(st.integers(0, int(n))) for n in used])
    return used, passed


def pass_at_1(used, passed):
    return passed.sum() / used.sum()


@settings(max_examples=500, deadline=None)
@given(counts(), counts())
def test_the_parts_add_up_to_the_change(before, after):
    selection, improvement = split_change(*before, *after)
    assert selection + improvement == pytest.approx(pass_at_1(*after) - pass_at_1(*before), abs=1e-14)


@settings(deadline=None)
@given(counts(), counts())
def test_time_backwards_flips_both_parts(before, after):
    there, back = split_change(*before, *after), split_change(*after, *before)
    np.testing.assert_allclose(there, [-part for part in back], atol=1e-14)


@settings(deadline=None)
@given(counts(), st.integers(2, 5))
def test_equal_shares_select_nothing(before, factor):
    used, passed = before
    selection, _ = split_change(used, passed, used * factor, passed)
    assert selection == pytest.approx(0, abs=1e-14)


def test_equal_pass_rates_improve_nothing():
    selection, improvement = split_change(np.array([50, 50]), np.array([45, 5]), np.array([90, 10]), np.array([81, 1]))
    assert improvement == pytest.approx(0, abs=1e-14)
    assert selection == pytest.approx(0.82 - 0.5)


def test_an_example_by_hand():
    # Shares 0.5, 0.5 -> 0.8, 0.2; pass rates 0.6, 0.1 -> 0.9, 0.1.
    selection, improvement = split_change(np.array([10, 10]), np.array([6, 1]), np.array([80, 20]), np.array([72, 2]))
    assert selection == pytest.approx(0.3 * 0.75 - 0.3 * 0.1)
    assert improvement == pytest.approx(0.65 * 0.3)


def test_taking_up_a_strategy_counts_as_selection():
    selection, improvement = split_change(np.array([10, 0]), np.array([1, 0]), np.array([0, 10]), np.array([0, 9]))
    assert selection == pytest.approx(0.8)
    assert improvement == 0


def test_many_splits_at_once_are_those_one_by_one():
    rng = np.random.default_rng(0)
    used = rng.integers(1, 30, size=(2, 40, 3))
    passed = rng.binomial(used, 0.4)
    together = split_change(used[0], passed[0], used[1], passed[1])
    for i in range(40):
        assert split_change(used[0, i], passed[0, i], used[1, i], passed[1, i]) == pytest.approx(
            (together[0][i], together[1][i])
        )
