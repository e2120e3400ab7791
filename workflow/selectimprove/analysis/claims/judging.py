"""Judging: whether a difference lies where the claim about it says.

A test asks whether a difference lies above a margin (superiority; with margin 0, direction), below a margin, or within
one (equivalence, by two one-sided tests; Schuirmann 1987). Problems are the clusters: all models of a seed answer the
same problems, so both sides of a difference are resampled together. With several seeds, seeds are the replicates, and
Student's test is on their differences; with one seed, the verdict is about the models of this seed. A cross-entropy is
one number per model and cannot be resampled: with one seed it has no interval, and its claim is inconclusive.

A claim holds if all its tests do, so its p-value is the largest of theirs (intersection-union; Berger 1982). If it is
not shown to hold, one of its tests may show the contrary. A difference on the other side of zero, or beyond a bound
within which it should lie, makes the claim *reversed*; one that misses its margin, or a level that the paper reaches,
makes it *smaller*; one above a level at which the paper stays makes it *larger*. Any test may do so, so these p-values
are multiplied by the number of tests. All four kinds of p-values are corrected over the claims of a run by Holm's
method.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from selectimprove.analysis.claims import ClaimTest
from selectimprove.types import Strict

VERDICTS = ("reproduced", "smaller", "larger", "reversed", "inconclusive", "not run")


class Outcome(Strict):
    """The result of a test: the difference, its two-sided interval (None if the spread is unknown) and p-values.

    A small `p` shows that the difference lies where the claim says; a small `p_smaller`, `p_larger` or `p_reversed`
    shows that it is too small, too large or the contrary.
    """

    effect: float
    low: float | None
    high: float | None
    p: float
    p_smaller: float = 1.0
    p_larger: float = 1.0
    p_reversed: float = 1.0
    n_problems: int
    n_seeds: int


def judge_difference(test: ClaimTest, per_seed: list[np.ndarray], n_problems: int, confidence: float) -> Outcome:
    """Test where a difference lies.

    Each array of `per_seed` has the difference of one seed, followed by its bootstrap draws over problems, if there are
    any. `n_problems` counts the problems of all seeds; it is 0 without draws.
    """
    effects = np.array([draws[0] for draws in per_seed])
    effect, n_seeds = float(effects.mean()), len(effects)
    if n_seeds > 1:
        # Seeds that agree exactly have no variance, so the error is at least that of half a problem.
        least = 0.5 / n_problems if n_problems else np.finfo(float).tiny
        error = max(float(effects.std(ddof=1)) / np.sqrt(n_seeds), least)
        distribution = stats.t(n_seeds - 1)
    elif len(per_seed[0]) == 1:
        return Outcome(effect=effect, low=None, high=None, p=1.0, n_problems=n_problems, n_seeds=n_seeds)
    else:
        # Resampling finds no variance if all problems agree, so two that disagree are added (Agresti and Caffo 2000).
        error = float(np.hypot(np.std(per_seed[0][1:], ddof=1), np.sqrt(2) / (n_problems + 2)))
        distribution = stats.norm()
    half = distribution.ppf((1 + confidence) / 2) * error

    def beyond(distance: float) -> float:
        """Return the p-value of a difference that lies at a distance on the right side of a bound."""
        p = float(distribution.sf(distance / error))
        if n_seeds == 1 and distance > 0:
            # This is the chance that no problem shows it if the difference does reach the bound.
            p = max(p, (1 - min(distance, 1.0)) ** n_problems)
        return p

    if test.above is not None:
        found = {"p": beyond(effect - test.above)}
        if test.is_level or test.above > 0:
            found["p_smaller"] = beyond(test.above - effect)
        if not test.is_level:
            found["p_reversed"] = beyond(min(test.above, 0.0) - effect)
    elif test.below is not None:
        found = {"p": beyond(test.below - effect), "p_reversed": beyond(effect - test.below)}
    else:
        found = {"p": max(beyond(effect + test.within), beyond(test.within - effect))}
        too_small, too_large = beyond(-test.within - effect), beyond(effect - test.within)
        if test.is_level:
            found |= {"p_smaller": too_small, "p_larger": too_large}
        else:
            found["p_reversed"] = min(1.0, 2 * min(too_small, too_large))
    counts = {"n_problems": n_problems, "n_seeds": n_seeds}
    return Outcome(effect=effect, low=effect - half, high=effect + half, **found, **counts)


def reach_verdicts(outcomes: dict[str, list[Outcome]], confidence: float) -> dict[str, tuple[str, float | None]]:
    """Decide on every claim: return one of `VERDICTS` and the p-value after Holm's correction.

    A claim without outcomes was not run. 1 - confidence bounds the chance that any claim is wrongly called reproduced.
    """
    run = {name: found for name, found in outcomes.items() if found}

    def corrected(p_value: Callable[[list[Outcome]], float]) -> dict[str, float]:
        p_values = [min(1.0, p_value(found)) for found in run.values()]
        return dict(zip(run, multipletests(p_values, method="holm")[1] if run else [], strict=True))

    shown = {
        "reproduced": corrected(lambda found: max(outcome.p for outcome in found)),
        "reversed": corrected(lambda found: len(found) * min(outcome.p_reversed for outcome in found)),
        "smaller": corrected(lambda found: len(found) * min(outcome.p_smaller for outcome in found)),
        "larger": corrected(lambda found: len(found) * min(outcome.p_larger for outcome in found)),
    }
    verdicts: dict[str, tuple[str, float | None]] = dict.fromkeys(outcomes, ("not run", None))
    for name in run:
        reached = [verdict for verdict, p_values in shown.items() if p_values[name] < 1 - confidence]
        verdicts[name] = (reached or ["inconclusive"])[0], float(shown["reproduced"][name])
    return verdicts
