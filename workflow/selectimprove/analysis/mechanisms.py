"""The mechanisms, measured by intervention: how much of a change in pass@1 is selection, sharpening and capability.

For one problem let pi(s) be the share of generations that begin with strategy s, and q(s) the pass rate of a model that is told to
begin with s. What a model goes on to write depends on what it has written and not on why, so pass@1 = sum of pi(s) q(s), and q(s) is
known however rarely s is taken. The change between two checkpoints splits exactly (Kitagawa 1955), and is averaged over problems::

    change = sum of [pi'(s) - pi(s)] * [q(s) + q'(s)] / 2      selection
           + sum of [pi(s) + pi'(s)] / 2 * [q'(s) - q(s)]      improvement

Improvement splits once more: *sharpening* is the gain on those problems that the first checkpoint, told s, already solved when it was decoded
greedily, and *capability* the gain on those that it did not. A problem has few generations; those that give pi are others than those that give q,
so that the products are unbiased.

Where nobody told the models a strategy, pi and q are those of all problems together, and q(s) the pass rate of the generations that took s
(`split_observed`). The split is as exact, but two things are lost: q(s) of a strategy that a side never took is not known, which leaves bounds, and if a model comes to take s on other problems than
before, q(s) changes with the problems.

The paper (abstract and discussion) argues for selection and improvement from curves; this puts a number on each. The last split is ours.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from selectimprove.analysis.stats import pass_at_k

PARTS = ("selection", "sharpening", "capability")


@dataclass(frozen=True)
class Behaviour:
    """What one model does on each of n problems, of its own accord and told one of S strategies.

    Parameters
    ----------
    taken : array of shape (n, S + 1)
        Share of its generations that begin with each strategy, and last with none of them.
    passed_other : array of shape (n,)
        Share of its generations that begin with none of the strategies and are correct.
    told : array of shape (n, S)
        Pass rate when it is told each strategy.
    greedy : array of shape (n, S)
        The same, of greedy decoding.
    """

    taken: np.ndarray
    passed_other: np.ndarray
    told: np.ndarray
    greedy: np.ndarray

    @classmethod
    def of(
        cls, generations: pd.DataFrame, interventions: pd.DataFrame, strategies: Sequence[str], problems: pd.Index
    ) -> "Behaviour":
        """Count it on some problems.

        Parameters
        ----------
        generations : pandas.DataFrame
            Of one model on one set of problems: `problem_id`, `strategy`, `correct`.
        interventions : pandas.DataFrame
            `problem_id`, `greedy`, `told`, `correct`. A rate of which there are no rows is not a number.
        strategies : sequence of str
            Those that the model is told. All others count as none of them.
        problems : pandas.Index
            Numbers of the problems.
        """
        taken = generations["strategy"].where(generations["strategy"].isin(strategies), "")
        other = (generations["correct"] & (taken == "")).groupby(generations["problem_id"]).mean()
        taken = pd.crosstab(generations["problem_id"], taken, normalize="index")
        taken = taken.reindex(index=problems, columns=[*strategies, ""], fill_value=0.0)
        rates = interventions.groupby(["greedy", "told", "problem_id"])["correct"].mean()
        told, greedy = (
            np.stack([_on(problems, rates, decoding, strategy) for strategy in strategies], axis=1)
            for decoding in (False, True)
        )
        return cls(taken.to_numpy(float), other.reindex(problems).to_numpy(float), told, greedy)

    def at(self, members: np.ndarray) -> "Behaviour":
        """Return that on some of the problems, by their positions."""
        return Behaviour(self.taken[members], self.passed_other[members], self.told[members], self.greedy[members])


def _on(problems: pd.Index, rates: pd.Series, greedy: bool, told: str) -> np.ndarray:
    return rates.reindex(pd.MultiIndex.from_product([[greedy], [told], problems])).to_numpy(float)


def find_openings(completions: pd.Series, openings: dict[str, str]) -> pd.Series:
    """Name the strategy with whose words each completion begins; empty where it begins with none.

    Words are whole: ``forwards`` does not begin with ``forward``.
    """
    begun = pd.Series("", index=completions.index)
    text = completions.str.lstrip()
    for strategy, opening in openings.items():
        begun[text.str.match(rf"{re.escape(opening)}(?:(?<!\w)|(?!\w))")] = strategy
    return begun


def kitagawa(
    share: np.ndarray, share_after: np.ndarray, rate: np.ndarray, rate_after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each strategy adds to a change by its share and by its rate (Kitagawa 1955, JASA 50:1168–1194).

    Parameters
    ----------
    share, share_after, rate, rate_after : arrays of shape (..., S)
        How often each strategy is taken, and how often it then passes.
    """
    return (share_after - share) * (rate + rate_after) / 2, (share + share_after) / 2 * (rate_after - rate)


def rate_given(passed: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Divide; not a number where nothing was taken."""
    return np.divide(passed, share, out=np.full(np.shape(passed), np.nan), where=share > 0)


def lend_rates(rate: np.ndarray, rate_after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace a rate that is not known by that of the other side, or by zero if neither is."""
    lent, lent_after = np.where(np.isnan(rate), rate_after, rate), np.where(np.isnan(rate_after), rate, rate_after)
    return np.nan_to_num(lent), np.nan_to_num(lent_after)


def split_change(weights: np.ndarray, before: Behaviour, after: Behaviour) -> dict[str, np.ndarray]:
    """Split the change in pass@1 between two models.

    Parameters
    ----------
    weights : array of shape (..., n)
        How often each problem counts, for each resample of them.
    before, after : Behaviour
        On the same problems.

    Returns
    -------
    dict of str to array of shape (...)
        `PARTS`, which add up to the change as far as telling a strategy does what taking it does, and ``improvement``, the sum of
        the last two. What begins with none of the strategies has the rate that was seen; if one side has none of it, that of the other.
    """
    weights = weights / weights.sum(axis=-1, keepdims=True)
    # Of each problem, and of what begins with none of the strategies, which has no rate on most problems, of all together.
    told = kitagawa(before.taken[:, :-1], after.taken[:, :-1], before.told, after.told)
    share, share_after = weights @ before.taken[:, -1:], weights @ after.taken[:, -1:]
    passed, passed_after = weights @ before.passed_other[:, None], weights @ after.passed_other[:, None]
    rates = lend_rates(rate_given(passed, share), rate_given(passed_after, share_after))
    others = kitagawa(share, share_after, *rates)
    selection, improvement = (
        weights @ part.sum(axis=-1) + rest.sum(axis=-1) for part, rest in zip(told, others, strict=True)
    )
    sharpening = weights @ (before.greedy * told[1]).sum(axis=-1)
    return {
        "selection": selection,
        "improvement": improvement,
        "sharpening": sharpening,
        "capability": improvement - sharpening,
    }


@dataclass(frozen=True)
class Observed:
    """What one model did of its own accord on each of n problems.

    Parameters
    ----------
    taken, passed : arrays of int, of shape (n, S)
        Generations that take each strategy, and that take it and are correct.
    """

    taken: np.ndarray
    passed: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, problems: pd.Index, strategies: pd.Index) -> "Observed":
        """Count rows with `problem_id`, `strategy` and `correct`."""
        shape = (len(problems), len(strategies))
        cells = problems.get_indexer(table["problem_id"]) * shape[1] + strategies.get_indexer(table["strategy"])
        counts = (np.bincount(cells[rows], minlength=shape[0] * shape[1]) for rows in (slice(None), table["correct"]))
        return cls(*(count.reshape(shape) for count in counts))

    def at(self, members: np.ndarray) -> "Observed":
        """Return that on some of the problems, by their positions."""
        return Observed(self.taken[members], self.passed[members])

    @property
    def n_samples(self) -> np.ndarray:
        return self.taken.sum(axis=1)

    def pass_at(self, k: int) -> np.ndarray:
        """Estimate pass@k of each problem."""
        n, c = self.n_samples, self.passed.sum(axis=1)
        return c / n if k == 1 else pass_at_k(n, c, k)

    def shares(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average over problems the share of generations that take each strategy, and that take it and pass."""
        weights = weights / weights.sum(axis=-1, keepdims=True)
        n = self.n_samples[:, None]
        return weights @ (self.taken / n), weights @ (self.passed / n)


def split_observed(weights: np.ndarray, before: Observed, after: Observed) -> dict[str, np.ndarray]:
    """Split the change in pass@1 by strategies as they were observed.

    Parameters
    ----------
    weights : array of shape (..., n)
        How often each problem counts, for each resample of them.
    before, after : Observed
        On the same problems.

    Returns
    -------
    dict of str to array of shape (...)
        ``selection`` and ``improvement``, which add up to the change: a rate that one side does not show is taken to be the other's.
        ``selection_least``, ``selection_most`` and the same of ``improvement``: the bounds, if it may be anything from 0 to 1.
    """
    (share, passed), (share_after, passed_after) = before.shares(weights), after.shares(weights)
    rate, rate_after = rate_given(passed, share), rate_given(passed_after, share_after)
    lent = kitagawa(share, share_after, *lend_rates(rate, rate_after))
    # The terms are linear in a rate, so its extremes give theirs.
    never, always = (
        kitagawa(share, share_after, np.nan_to_num(rate, nan=assumed), np.nan_to_num(rate_after, nan=assumed))
        for assumed in (0.0, 1.0)
    )
    parts = {}
    for name, term, one, another in zip(("selection", "improvement"), lent, never, always, strict=True):
        parts[name] = term.sum(axis=-1)
        parts[f"{name}_least"] = np.minimum(one, another).sum(axis=-1)
        parts[f"{name}_most"] = np.maximum(one, another).sum(axis=-1)
    return parts
