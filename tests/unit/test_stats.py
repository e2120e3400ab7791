from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from selectimprove.analysis.stats import (
    bootstrap_weights,
    change_interval,
    pass_at_k,
    proportion_interval,
    student_interval,
)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n):
    for c in range(n + 1):
        samples = [True] * c + [False] * (n - c)
        for k in range(1, n + 1):
            expected = np.mean([any(subset) for subset in combinations(samples, k)])
            assert pass_at_k(np.array([n]), np.array([c]), k)[0] == pytest.approx(expected)


def test_pass_at_k_is_unbiased():
    n, k, p = 8, 3, 0.3
    c = np.arange(n + 1)
    expectation = (stats.binom.pmf(c, n, p) * pass_at_k(np.full(n + 1, n), c, k)).sum()
    assert expectation == pytest.approx(1 - (1 - p) ** k)


def test_pass_at_k_needs_k_samples():
    with pytest.raises(ValueError, match="pass@5 needs at least 5 samples"):
        pass_at_k(np.array([8, 4]), np.array([0, 0]), 5)


def test_resamples_keep_the_size_of_every_stratum():
    strata = np.array([6, 6, 6, 7, 7, 9])
    weights = bootstrap_weights(strata, 50, seed=1)
    for stratum in (6, 7, 9):
        assert (weights[:, strata == stratum].sum(axis=1) == (strata == stratum).sum()).all()
    assert (weights == bootstrap_weights(strata, 50, seed=1)).all()
    assert weights[:, :5].std() > 0


def test_a_change_interval_is_the_central_one():
    low, high = change_interval(np.arange(1001), 10, 0.9)
    assert (low, high) == pytest.approx((50, 950))


@pytest.mark.parametrize("change", [0.0, 1.0, -1.0])
def test_no_interval_has_width_zero_and_one_problem_has_none(change):
    draws = np.full(100, change)
    widths = [np.diff(change_interval(draws, n, 0.95))[0] for n in (2, 20, 200)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 0
    low, high = change_interval(draws, 20, 0.95)
    assert -1 <= low <= change <= high <= 1
    assert np.isnan(change_interval(draws, 1, 0.95)).all()
    # Five seeds that agree exactly on 100 problems each.
    low, high = student_interval(np.full(5, change), 0.95, 500)
    assert low < change < high


@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0])
def test_an_interval_of_independent_problems_is_wilsons(mean):
    passed = np.repeat([0.0, 1.0], [round(200 * (1 - mean)), round(200 * mean)])
    low, high = proportion_interval(passed, 0.95)
    wilson = stats.binomtest(round(200 * mean), 200).proportion_ci(0.95, "wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=0.003)
    assert 0 <= low <= mean <= high <= 1
    assert high > low


def test_samples_of_one_problem_are_not_independent_problems():
    rng = np.random.default_rng(0)
    clustered = rng.binomial(1, 0.5, 100).astype(float)
    spread = rng.binomial(8, 0.5, 100) / 8
    width = [np.diff(proportion_interval(passed, 0.95))[0] for passed in (clustered, spread)]
    assert width[0] > 2 * width[1]


@pytest.mark.parametrize("mean", [0.5, 0.93])
def test_intervals_cover_the_truth_as_often_as_they_say(mean):
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        rates = rng.beta(mean * 0.8, (1 - mean) * 0.8, size=150)
        low, high = proportion_interval(rng.binomial(4, rates) / 4, 0.95)
        covered += low <= mean <= high
    assert 0.91 <= covered / 400 <= 0.99


def test_seeds_have_students_interval_and_one_seed_has_none():
    values = np.array([0.91, 0.95, 0.90])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert student_interval(values, 0.95, 10**6) == pytest.approx((expected.low, expected.high))
    assert student_interval(values[:1], 0.95, 100) == (-np.inf, np.inf)
