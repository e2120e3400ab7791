"""Estimates and their uncertainty.

Problems are the units of resampling: the generations for one problem are not independent. An interval over problems says
how the same models would do on other problems. It says nothing of other seeds: for that, models are the units, and
`student_interval` is the only one that speaks of them.
"""

import numpy as np
from scipy import special, stats


def pass_at_k(n_samples: np.ndarray, n_correct: np.ndarray, k: int) -> np.ndarray:
    """Estimate the chance that at least one of k samples is correct, without bias.

    One less the chance that k samples drawn without replacement from the n are all wrong (Chen et al. 2021,
    arXiv:2107.03374, equation 1).

    Parameters
    ----------
    n_samples, n_correct : arrays of int, of one shape
        Samples and correct samples of each problem.
    k : int

    Returns
    -------
    array of float

    Raises
    ------
    ValueError
        If a problem has fewer than k samples.
    """
    n, c = np.broadcast_arrays(n_samples, n_correct)
    if (n < k).any():
        raise ValueError(f"pass@{k} needs at least {k} samples of every problem, not {n.min()}")
    all_wrong = np.ones(n.shape)
    for drawn in range(k):
        all_wrong *= np.clip(n - c - drawn, 0, None) / (n - drawn)
    return 1 - all_wrong


def bootstrap_weights(strata: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Draw how often each problem occurs in each resample, strata keeping their sizes.

    Parameters
    ----------
    strata : array of shape (n_problems,)
        A label each, such as the number of steps: the test set is balanced by design, and so are its resamples.
    n_bootstrap : int
    seed : int

    Returns
    -------
    array of int, of shape (n_bootstrap, n_problems)
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((n_bootstrap, len(strata)), dtype=np.int32)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=n_bootstrap)
    return weights


def percentile_interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the central interval that holds a share `confidence` of bootstrap draws."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def proportion_interval(passed: np.ndarray, confidence: float, n_generations: int | None = None) -> tuple[float, float]:
    """Return an interval for a mean pass rate, over problems, that is honest at 0 and 1.

    Wilson's interval on the effective number of independent generations, which the clustering by problem makes smaller than
    their number (design effect; Kish 1965). A bootstrap gives an interval of width zero where every generation passes.

    Parameters
    ----------
    passed : array of float, of shape (n_problems,)
        Pass rate of each problem.
    confidence : float
        Between 0 and 1.
    n_generations : int, optional
        Generations in all, which the effective number never exceeds.
    """
    n_problems, mean = len(passed), float(np.mean(passed))
    between = float(np.var(passed, ddof=1)) / n_problems if n_problems > 1 else 0.0
    # Equal rates have a variance of zero, but for rounding.
    effective = mean * (1 - mean) / between if between > 1e-12 else n_problems
    if n_generations is not None:
        effective = min(effective, n_generations)
    z = special.ndtri((1 + confidence) / 2)
    centre = (mean + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(mean * (1 - mean) / effective + (z / (2 * effective)) ** 2)
    return float(max(0.0, min(centre - half, mean))), float(min(1.0, max(centre + half, mean)))


def student_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return Student's interval for the mean over seeds, or other replicates; infinite with one, whose spread is unknown."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return -np.inf, np.inf
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)
