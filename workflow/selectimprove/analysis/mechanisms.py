"""The mechanisms, measured by intervention: how much of a change in pass@1 is selection, sharpening and capability.

For one problem let pi(s) be the share of generations that begin with strategy s, and q(s) the pass rate of a model that
is told to begin with s. A model continues a text in the same way, whoever wrote its beginning, so pass@1 = sum of
pi(s) q(s), and q(s) is known however rarely s is taken. The change between two checkpoints splits exactly (Kitagawa
1955), and is averaged over problems::

    change = sum of [pi'(s) - pi(s)] * [q(s) + q'(s)] / 2      selection
           + sum of [pi(s) + pi'(s)] / 2 * [q'(s) - q(s)]      improvement

Improvement is split further, which the paper does not do: *sharpening* is the gain on the problems that the first
checkpoint, told s and decoded greedily, already solved, and *capability* the gain on the others. pi and q come from
different generations, so that the products are unbiased.

If models were not told a strategy, pi and q are those of all problems together, and q(s) is the pass rate of the
generations that took s (`split_observed`). If one checkpoint never took s, its q(s) is unknown, and the split has
bounds. If a model comes to take s on other problems, q(s) changes with the problems.
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
    """The behaviour of one model on each of n problems, by itself and told one of S strategies."""

    taken: np.ndarray
    """Share of generations that begin with each strategy, and in the last column with none; shape (n, S + 1)."""
    passed_other: np.ndarray
    """Share of generations that begin with none of the strategies and are correct; shape (n,)."""
    told: np.ndarray
    """Pass rate of the model told each strategy; shape (n, S)."""
    greedy: np.ndarray
    """The same as `told`, decoded greedily."""

    @classmethod
    def of(
        cls, generations: pd.DataFrame, interventions: pd.DataFrame, strategies: Sequence[str], problems: pd.Index
    ) -> "Behaviour":
        """Count a model's generations and interventions; a rate without rows is NaN.

        Generations with other strategies than `strategies` count as generations without a strategy.
        """
        taken = generations["strategy"].where(generations["strategy"].isin(strategies), "")
        other = (generations["correct"] & (taken == "")).groupby(generations["problem_id"]).mean()
        taken = pd.crosstab(generations["problem_id"], taken, normalize="index")
        taken = taken.reindex(index=problems, columns=[*strategies, ""], fill_value=0.0)
        rates = interventions.groupby(["greedy", "told", "problem_id"])["correct"].mean()
        wanted = pd.MultiIndex.from_product([[False, True], strategies, problems])
        told, greedy = rates.reindex(wanted).to_numpy(float).reshape(2, len(strategies), len(problems)).swapaxes(1, 2)
        return cls(taken.to_numpy(float), other.reindex(problems).to_numpy(float), told, greedy)

    def at(self, members: np.ndarray) -> "Behaviour":
        return Behaviour(self.taken[members], self.passed_other[members], self.told[members], self.greedy[members])


def find_openings(completions: pd.Series, openings: dict[str, str]) -> pd.Series:
    """Name the strategy whose opening begins each completion, or ``""``; an opening ends at the end of a word."""
    begun = pd.Series("", index=completions.index)
    text = completions.str.lstrip()
    for strategy, opening in openings.items():
        begun[text.str.match(rf"{re.escape(opening)}(?:(?<!\w)|(?!\w))")] = strategy
    return begun


def kitagawa(
    share: np.ndarray, share_after: np.ndarray, rate: np.ndarray, rate_after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the change due to each strategy's share, and that due to its rate (Kitagawa 1955, JASA 50:1168–1194)."""
    return (share_after - share) * (rate + rate_after) / 2, (share + share_after) / 2 * (rate_after - rate)


def rate_given(passed: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return passed / share, and NaN where the share is zero."""
    return np.divide(passed, share, out=np.full(np.shape(passed), np.nan), where=share > 0)


def lend_rates(rate: np.ndarray, rate_after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace an unknown rate by that of the other side, or by zero if both are unknown."""
    lent, lent_after = np.where(np.isnan(rate), rate_after, rate), np.where(np.isnan(rate_after), rate, rate_after)
    return np.nan_to_num(lent), np.nan_to_num(lent_after)


def split_change(weights: np.ndarray, before: Behaviour, after: Behaviour) -> dict[str, np.ndarray]:
    """Split the change in pass@1 between two models on the same problems; each row of weights is a resample of these.

    Returns `PARTS`, which add up to the change if telling a strategy has the effect of taking it, and ``improvement``,
    the sum of the last two. The rate of generations that begin with no strategy is the observed one; if one model has
    no such generations, it is the other model's.
    """
    weights = weights / weights.sum(axis=-1, keepdims=True)
    # On most problems, generations without a strategy have no rate, so theirs is that of all problems together.
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
    """The numbers of generations, and of correct ones, of one model on n problems by S strategies; shape (n, S)."""

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
        return Observed(self.taken[members], self.passed[members])

    @property
    def n_samples(self) -> np.ndarray:
        return self.taken.sum(axis=1)

    def pass_at(self, k: int) -> np.ndarray:
        """Estimate pass@k of each problem."""
        n, c = self.n_samples, self.passed.sum(axis=1)
        return c / n if k == 1 else pass_at_k(n, c, k)

    def shares(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average over problems the shares of generations that take each strategy, and that take it and pass."""
        weights = weights / weights.sum(axis=-1, keepdims=True)
        n = self.n_samples[:, None]
        return weights @ (self.taken / n), weights @ (self.passed / n)


def split_observed(weights: np.ndarray, before: Observed, after: Observed) -> dict[str, np.ndarray]:
    """Split the change in pass@1 by observed strategies; each row of weights is a resample of problems.

    Returns ``selection`` and ``improvement`` under the assumption that an unknown rate is that of the other model, and
    for each the bounds ``_least`` and ``_most``, between which it lies if an unknown rate lies between 0 and 1.
    """
    (share, passed), (share_after, passed_after) = before.shares(weights), after.shares(weights)
    rate, rate_after = rate_given(passed, share), rate_given(passed_after, share_after)
    lent = kitagawa(share, share_after, *lend_rates(rate, rate_after))
    # The terms are linear in an unknown rate, so its extremes give theirs.
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
