"""Intervals and estimates against closed forms, and at the edges where they break first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from selectimprove.analysis.stats import (
    bootstrap_weights,
    change_interval,
    pass_at_k,
    proportion_interval,
    student_interval,
)


@pytest.mark.parametrize(
    ("n", "k", "p"), [(1, 1, 0.3), (4, 1, 0.5), (4, 4, 0.9), (9, 5, 0.05), (6, 2, 0.0), (6, 2, 1.0)]
)
def test_pass_at_k_expects_what_k_fresh_samples_would(n, k, p):
    c = np.arange(n + 1)
    expectation = stats.binom.pmf(c, n, p) @ pass_at_k(n, c, k)
    assert expectation == pytest.approx(1 - (1 - p) ** k)


def test_resamples_differ_by_seed_and_expect_each_problem_once():
    strata = np.repeat(["2", "3"], [4, 7])
    weights = bootstrap_weights(strata, 4000, seed=1)
    assert (weights != bootstrap_weights(strata, 4000, seed=2)).any()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.08)


def test_a_resampled_count_varies_as_draws_with_replacement_do():
    weights = bootstrap_weights(np.zeros(5), 8000, seed=0)
    assert weights.var() == pytest.approx(1 - 1 / 5, abs=0.03)


def test_draws_without_a_value_do_not_count():
    assert change_interval(np.array([np.nan, *range(101), np.nan]), 9, 0.9) == pytest.approx((5, 95))


def rates_of(n_samples):
    return st.lists(st.integers(0, n_samples).map(lambda c: c / n_samples), min_size=1, max_size=40).map(np.array)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]).flatmap(rates_of), st.sampled_from([0.5, 0.9, 0.99]))
def test_an_interval_holds_the_mean_and_stays_between_0_and_1(passed, confidence):
    low, high = proportion_interval(passed, confidence)
    assert 0 <= low <= passed.mean() <= high <= 1
    assert low < high


@pytest.mark.parametrize(("rate", "n_problems"), [(0.1, 3), (0.2, 7), (0.7, 1000)])
def test_equal_rates_that_binary_fractions_only_approximate_have_an_interval(rate, n_problems):
    """Their variance is not exactly zero in floating point."""
    low, high = proportion_interval(np.full(n_problems, rate), 0.95)
    assert 0 < low < rate - 0.01 < rate + 0.01 < high < 1


def test_problems_all_or_nothing_are_worth_a_quarter_of_as_many_independent_samples():
    independent = np.repeat(np.arange(5) / 4, 4 * np.array([1, 4, 6, 4, 1]))
    clustered = np.repeat([0.0, 1.0], 32)
    assert independent.sum() == clustered.sum()
    widths = [np.diff(proportion_interval(passed, 0.95))[0] for passed in (independent, clustered)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.05)


@pytest.mark.parametrize("mean", [0.1, 0.7])
def test_intervals_cover_the_truth_when_half_of_the_problems_are_all_or_nothing(mean):
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        rates = np.where(rng.random(100) < 0.5, rng.random(100) < mean, mean)
        low, high = proportion_interval(rng.binomial(4, rates) / 4, 0.95)
        covered += low <= mean <= high
    assert 0.90 <= covered / 300 <= 0.99


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8, unique_by=lambda v: round(v, 3)), st.floats(0.5, 0.99))
def test_seeds_have_students_interval(values, confidence):
    expected = stats.t.interval(confidence, len(values) - 1, np.mean(values), stats.sem(values))
    assert student_interval(values, confidence, 10**9) == pytest.approx(expected)
