"""The mechanisms, measured by intervention: how much of a change in pass@1 is selection, sharpening and capability.

For one problem type let pi(s) be the share of generations that begin with strategy s, and q(s) the pass rate of a model that is told to
begin with s. What a model goes on to write depends on what it has written and not on why, so pass@1 = sum of pi(s) q(s), and q(s) is
known however rarely s is taken. The change between two checkpoints splits exactly (Kitagawa 1955)::

    change = sum of [pi'(s) - pi(s)] * [q(s) + q'(s)] / 2      selection
           + sum of [pi(s) + pi'(s)] / 2 * [q'(s) - q(s)]      improvement

Improvement is a sum over problems, so it splits once more: *sharpening* is the gain on those problems that the first checkpoint, told s,
already solved when it was decoded greedily, and *capability* the gain on those that it did not.

The paper (abstract and discussion) argues for selection and improvement from curves; this puts a number on each. The last split is ours.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

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
        cls, generations: pd.DataFrame, interventions: pd.DataFrame, openings: dict[str, str], problems: pd.Index
    ) -> "Behaviour":
        """Count it on some problems.

        Parameters
        ----------
        generations : pandas.DataFrame
            Of one model on one set of problems: `problem_id`, `completion`, `correct`.
        interventions : pandas.DataFrame
            The same, and `greedy` and `told`.
        openings : dict of str to str
            With what a response in each strategy begins.
        problems : pandas.Index
            Numbers of the problems, all of which have interventions.
        """
        begun = pd.Series("", index=generations.index)
        text = generations["completion"].str.lstrip()
        for strategy, opening in openings.items():
            begun[text.str.startswith(opening)] = strategy
        taken = pd.crosstab(generations["problem_id"], begun, normalize="index")
        taken = taken.reindex(index=problems, columns=[*openings, ""], fill_value=0.0)
        other = (generations["correct"] & (begun == "")).groupby(generations["problem_id"]).mean()
        rates = interventions.groupby(["greedy", "told", "problem_id"])["correct"].mean()
        told, greedy = (
            np.stack([rates[decoding, strategy].reindex(problems).to_numpy(float) for strategy in openings], axis=1)
            for decoding in (False, True)
        )
        return cls(taken.to_numpy(float), other.reindex(problems).to_numpy(float), told, greedy)


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
        By the name of each of `PARTS`. They add up to the change, as far as telling a strategy does what taking it does.
    """
    weights = weights / weights.sum(axis=-1, keepdims=True)
    taken, taken_after = weights @ before.taken, weights @ after.taken
    rate, rate_after = weights @ before.told, weights @ after.told
    solved, solved_after = weights @ (before.greedy * before.told), weights @ (before.greedy * after.told)
    mean_taken = (taken + taken_after)[..., :-1] / 2
    selection = ((taken_after - taken)[..., :-1] * (rate + rate_after) / 2).sum(axis=-1)
    sharpening = (mean_taken * (solved_after - solved)).sum(axis=-1)
    capability = (mean_taken * (rate_after - rate - solved_after + solved)).sum(axis=-1)
    other, other_after = (
        _rate(weights @ model.passed_other, share[..., -1]) for model, share in ((before, taken), (after, taken_after))
    )
    other, other_after = (
        np.nan_to_num(np.where(np.isnan(one), another, one))
        for one, another in ((other, other_after), (other_after, other))
    )
    selection = selection + (taken_after - taken)[..., -1] * (other + other_after) / 2
    capability = capability + (taken + taken_after)[..., -1] / 2 * (other_after - other)
    return {"selection": selection, "sharpening": sharpening, "capability": capability}


def _rate(passed: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Divide; not a number where nothing was taken, whose rate is then that of the other side."""
    return np.divide(passed, share, out=np.full(np.shape(passed), np.nan), where=share > 0)
