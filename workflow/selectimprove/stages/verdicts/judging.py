"""Verdicts: whether the difference that a claim is about lies where the claim has it.

A test asks whether a difference lies above a margin (superiority; with margin 0, direction), below one, or within one
(equivalence, by two one-sided tests; Schuirmann 1987). Problems are the clusters: all models of a seed answer the same ones, so
a difference is resampled with the problems that it is made of. With several seeds, seeds are the replicates and Student's test is on
their differences; with one, the verdict speaks of this seed's models.

A claim holds if all its tests do, so its p-value is the largest of theirs (intersection-union; Berger 1982). p-values are
corrected over all claims of a run by Holm's method.
"""

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from selectimprove.analysis.claims import ClaimTest
from selectimprove.types import Strict

VERDICTS = ("reproduced", "contradicted", "inconclusive", "not run")


class Outcome(Strict):
    """What a test found.

    Parameters
    ----------
    effect, low, high : float
        The difference and its two-sided interval.
    p : float
        Of the hypothesis that the difference does not lie where the claim has it.
    against : bool
        Whether the interval lies wholly on the other side.
    n_problems, n_seeds : int
    """

    effect: float
    low: float
    high: float
    p: float
    against: bool
    n_problems: int
    n_seeds: int


def judge_difference(test: ClaimTest, per_seed: list[np.ndarray], n_problems: int, confidence: float) -> Outcome:
    """Test where a difference lies.

    Parameters
    ----------
    test : ClaimTest
    per_seed : list of array of shape (1 + n_bootstrap,)
        For each seed the difference, and then its bootstrap draws over problems.
    n_problems : int
        Problems behind the difference, over all seeds.
    confidence : float
        Of the interval.
    """
    effects = np.array([draws[0] for draws in per_seed])
    effect, n_seeds = float(effects.mean()), len(effects)
    # Where every problem agrees, resampling sees no variance; half a problem's worth is the least that is claimed.
    floor = 0.5 / n_problems
    if n_seeds > 1:
        error = max(float(effects.std(ddof=1)) / np.sqrt(n_seeds), floor)
        distribution = stats.t(n_seeds - 1)
    else:
        error = max(float(np.std(per_seed[0][1:], ddof=1)), floor)
        distribution = stats.norm()
    half = distribution.ppf((1 + confidence) / 2) * error
    low, high = effect - half, effect + half

    def exceeds(margin: float) -> float:
        return float(distribution.sf((effect - margin) / error))

    if test.above is not None:
        p, against = exceeds(test.above), high < test.above
    elif test.below is not None:
        p, against = 1 - exceeds(test.below), low > test.below
    else:
        p = max(exceeds(-test.within), 1 - exceeds(test.within))
        against = high < -test.within or low > test.within
    return Outcome(
        effect=effect, low=low, high=high, p=p, against=bool(against), n_problems=n_problems, n_seeds=n_seeds
    )


def reach_verdicts(outcomes: dict[str, list[Outcome]], confidence: float) -> dict[str, tuple[str, float | None]]:
    """Decide on every claim.

    Parameters
    ----------
    outcomes : dict of str to list of Outcome
        Of the tests of each claim; an empty list is a claim that was not run.
    confidence : float
        One less this is the chance, over all claims together, that one is called reproduced wrongly.

    Returns
    -------
    dict of str to (str, float or None)
        One of `VERDICTS`, and the p-value after Holm's correction.
    """
    run = {name: max(outcome.p for outcome in found) for name, found in outcomes.items() if found}
    corrected = multipletests(list(run.values()), method="holm")[1] if run else []
    verdicts: dict[str, tuple[str, float | None]] = dict.fromkeys(outcomes, ("not run", None))
    for name, p in zip(run, corrected, strict=True):
        if p < 1 - confidence:
            verdicts[name] = ("reproduced", float(p))
        elif any(outcome.against for outcome in outcomes[name]):
            verdicts[name] = ("contradicted", float(p))
        else:
            verdicts[name] = ("inconclusive", float(p))
    return verdicts
