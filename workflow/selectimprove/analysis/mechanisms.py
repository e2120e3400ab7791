"""The two mechanisms, measured: how much of a change in pass@1 is selection and how much improvement.

For one problem type let pi(s) be the share of generations that use strategy s, and q(s) the pass rate given s. Then
pass@1 = sum of pi(s) q(s), and the change between two checkpoints splits exactly (Kitagawa 1955)::

    change = sum of [pi'(s) - pi(s)] * [q(s) + q'(s)] / 2      selection
           + sum of [pi(s) + pi'(s)] / 2 * [q'(s) - q(s)]      improvement

The paper (abstract and discussion) argues for the two mechanisms from curves; this puts a number on each.
"""

import numpy as np


def split_change(
    used_before: np.ndarray, passed_before: np.ndarray, used_after: np.ndarray, passed_after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Split changes in pass@1 into selection and improvement.

    A strategy that is never used on one side has no pass rate there; it is given that of the other side, so that taking it up
    or dropping it counts as selection alone.

    Parameters
    ----------
    used_before, passed_before, used_after, passed_after : array of shape (..., n_strategies)
        Generations by strategy, and those of them that are correct. Counts, or any weights.

    Returns
    -------
    selection, improvement : arrays of shape (...)
        They add up to the change in pass@1, which is between -1 and 1.
    """
    share_before = used_before / used_before.sum(axis=-1, keepdims=True)
    share_after = used_after / used_after.sum(axis=-1, keepdims=True)
    rate_before, rate_after = _pass_rates(used_before, passed_before), _pass_rates(used_after, passed_after)
    rate_before, rate_after = (
        np.where(np.isnan(rate_before), rate_after, rate_before),
        np.where(np.isnan(rate_after), rate_before, rate_after),
    )
    # A strategy that neither side uses contributes nothing.
    rate_before, rate_after = np.nan_to_num(rate_before), np.nan_to_num(rate_after)
    selection = ((share_after - share_before) * (rate_before + rate_after) / 2).sum(axis=-1)
    improvement = ((share_before + share_after) / 2 * (rate_after - rate_before)).sum(axis=-1)
    return selection, improvement


def _pass_rates(used: np.ndarray, passed: np.ndarray) -> np.ndarray:
    return np.divide(passed, used, out=np.full(np.shape(used), np.nan), where=np.asarray(used) > 0)
