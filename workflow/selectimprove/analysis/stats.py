"""Estimates and their uncertainty.

Problems are the units of resampling, because the generations for one problem are not independent. An interval over
problems says how the same models would do on other problems, and nothing about models of other seeds; for those, use
`student_interval`.
"""

import numpy as np
from scipy import special, stats


def pass_at_k(n_samples: np.ndarray, n_correct: np.ndarray, k: int) -> np.ndarray:
    """Estimate for each problem, without bias, the chance that at least one of k samples is correct.

    This is 1 minus the chance that k samples, drawn without replacement from the n, are all wrong (Chen et al. 2021,
    arXiv:2107.03374, equation 1). A problem with fewer than k samples raises ValueError.
    """
    n, c = np.broadcast_arrays(n_samples, n_correct)
    if (n < k).any():
        raise ValueError(f"pass@{k} needs at least {k} samples of every problem, not {n.min()}")
    all_wrong = np.ones(n.shape)
    for drawn in range(k):
        all_wrong *= np.clip(n - c - drawn, 0, None) / (n - drawn)
    return 1 - all_wrong


def bootstrap_weights(strata: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Draw how often each problem occurs in each resample; return an array of shape (n_bootstrap, n_problems).

    Strata, such as numbers of steps, keep their sizes, because test sets are balanced by design.
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((n_bootstrap, len(strata)), dtype=np.int32)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=n_bootstrap)
    return weights


def change_interval(draws: np.ndarray, n_problems: int, confidence: float) -> tuple[float, float]:
    """Return the central interval of bootstrap draws of a change in pass@1, or of a part of it; NaN for one problem.

    If all resamples agree, two problems that disagree are added, as in verdicts (Agresti and Caffo 2000).
    """
    if n_problems < 2:
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    if high - low < 1e-9:
        half = special.ndtri((1 + confidence) / 2) * np.sqrt(2) / (n_problems + 2)
        low, high = max(low - half, -1.0), min(high + half, 1.0)
    return float(low), float(high)


def proportion_interval(passed: np.ndarray, confidence: float, n_generations: int | None = None) -> tuple[float, float]:
    """Return an interval over problems for the mean of their pass rates; its width is never zero.

    It is Wilson's interval on the effective number of independent generations, which is smaller than their number
    because they are clustered by problem (design effect; Kish 1965), and at most `n_generations`. A bootstrap would
    give an interval of width zero where every generation passes.
    """
    n_problems, mean = len(passed), float(np.mean(passed))
    between = float(np.var(passed, ddof=1)) / n_problems if n_problems > 1 else 0.0
    # The variance of equal rates is zero, up to rounding.
    effective = mean * (1 - mean) / between if between > 1e-12 else n_problems
    if n_generations is not None:
        effective = min(effective, n_generations)
    z = special.ndtri((1 + confidence) / 2)
    centre = (mean + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(mean * (1 - mean) / effective + (z / (2 * effective)) ** 2)
    return float(max(0.0, min(centre - half, mean))), float(min(1.0, max(centre + half, mean)))


def student_interval(values: np.ndarray, confidence: float, n: int) -> tuple[float, float]:
    """Return Student's interval for the mean over seeds or other replicates; with one replicate it is infinite.

    Replicates that agree exactly have no variance, so the error is at least half of one of their `n` problems.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return -np.inf, np.inf
    error = max(values.std(ddof=1) / np.sqrt(len(values)), 0.5 / n)
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error
    return float(values.mean() - half), float(values.mean() + half)
