"""Alarms: stretches of a training at which what its trainer logged was past a bound, and trainings that broke down.

Single steps of GRPO are often far off, and their gradients are clipped: a bound counts once it is passed at several logged steps in a row.
What is not a number counts at once. transformers logs a loss that is not a number as 0 (``logging_nan_inf_filter``); the norm of its gradient
is not a number either, and tells of it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.config.params import Alarms
from selectimprove.types import ParamsError

COLUMNS = ("variant", "sft", "training", "seed", "alarm", "first_step", "last_step", "worst", "says")
FINITE = {"loss": "loss", "grad_norm": "gradient norm", "entropy": "entropy", "kl": "KL divergence"}
"""What has to be a number wherever it is logged, and how people call it."""
BOUNDED = {
    "loss_rise": "rise of the loss",
    "grad_norm": "gradient norm",
    "kl": "KL divergence in nats per token",
    "cut_off": "share of completions cut off",
}
"""What has a bound of its name in `Alarms`."""


def of_training(log: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of a log that are of validation alone."""
    return log.dropna(subset="learning_rate") if "learning_rate" in log else log.iloc[:0]


def require_finite_end(log: pd.DataFrame, name: str, path: Path) -> None:
    """Refuse a training that broke down.

    Raises
    ------
    ParamsError
        If the loss, or another of `FINITE`, is not a number at the last step.
    """
    for row in of_training(log).tail(1).to_dict("records"):
        broken = [said for quantity, said in FINITE.items() if not np.isfinite(row.get(quantity, 0.0))]
        if broken:
            raise ParamsError(
                f"{path}: the training of {name} broke down, so its results would mean nothing (no number at the last step, "
                f"{row['step']}: {', '.join(broken)}); use a lower learning rate, or leave the model out"
            )


def _past_bounds(log: pd.DataFrame, bounds: Alarms) -> Iterator[tuple[str, pd.Series, str]]:
    """List the quantities that were logged, each with where it is past its bound, and what to say."""
    for quantity, said in BOUNDED.items():
        if quantity in log:
            bound = getattr(bounds, quantity)
            yield quantity, log[quantity] > bound, f"{said} above {bound:g} (up to {{:.3g}})"
    if "constant_groups" in log:
        # Where all rewards are 1 there is no gradient either, and nothing left to learn.
        flat = (log["constant_groups"] >= 1) & (log["reward"] < 1)
        yield "reward", flat, "no gradient, since all rewards within each group were equal (mean reward up to {:.3g})"


def stretches(past: pd.Series, least: int) -> list[pd.Index]:
    """Return the labels of each run of at least `least` true values in a row."""
    run = (past != past.shift()).cumsum()[past]
    return [members for members in run.groupby(run).groups.values() if len(members) >= least]


def find_alarms(log: pd.DataFrame, bounds: Alarms) -> list[dict]:
    """Find where one training went wrong.

    Parameters
    ----------
    log : pandas.DataFrame
        A row per logged step in order, as `selectimprove.stages.measures.training.read_log` returns it.
    bounds : Alarms

    Returns
    -------
    list of dict
        One per stretch: ``alarm``, the quantity; ``first_step`` and ``last_step``; ``worst``, its highest value there; ``says``, a line.
    """
    log = of_training(log).reset_index(drop=True)
    # Rollouts that several steps train on are logged at the first of them.
    sampled = log.columns.intersection(["reward", "constant_groups", "cut_off"])
    log[sampled] = log[sampled].ffill()
    found = []
    for quantity, said in FINITE.items():
        if quantity in log:
            broken = ~np.isfinite(log[quantity])
            found += [(quantity, steps, np.nan, f"{said} not a number") for steps in stretches(broken, 1)]
    if "loss" in log:
        log["loss_rise"] = log["loss"] - log["loss"].dropna().head(1).sum()
    for quantity, past, says in _past_bounds(log, bounds):
        for steps in stretches(past, bounds.stretch):
            worst = float(log[quantity][steps].max())
            found.append((quantity, steps, worst, says.format(worst)))
    rows = []
    for quantity, steps, worst, says in found:
        first, last = log["step"][steps[0]], log["step"][steps[-1]]
        at = f"step {first}" if first == last else f"steps {first}–{last}"
        rows.append(
            {"alarm": quantity, "first_step": first, "last_step": last, "worst": worst, "says": f"{says} at {at}"}
        )
    return rows
