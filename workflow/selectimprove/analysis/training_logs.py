"""The logs of trainings, and alarms about them.

Single steps of GRPO are often far off, and their gradients are clipped, so an alarm needs several logged steps in a row
past a bound. A value that is not a number counts at once. transformers logs a loss that is not a number as 0
(``logging_nan_inf_filter``), but the norm of its gradient, which is not a number either, shows the failure.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.analysis.estimates import MODEL
from selectimprove.config.sections import Alarms
from selectimprove.config.stages import Run
from selectimprove.errors import ParamsError

LOGGED = (
    "loss",
    "eval_loss",
    "grad_norm",
    "learning_rate",
    "entropy",
    "kl",
    "reward",
    "reward_std",
    "constant_groups",
    "length",
    "cut_off",
)
"""The columns of a training's log that are kept."""
COLUMNS = ("variant", "sft", "training", "seed", "alarm", "first_step", "last_step", "worst", "says")
"""The columns of the table of alarms."""
FINITE = {"loss": "loss", "grad_norm": "gradient norm", "entropy": "entropy", "kl": "KL divergence"}
"""Columns that must be finite numbers wherever they are logged, with their names in messages."""
BOUNDED = {
    "loss_rise": "rise of the loss",
    "grad_norm": "gradient norm",
    "kl": "KL divergence in nats per token",
    "cut_off": "share of completions cut off",
}
"""Columns with a bound of the same name in `Alarms`."""


def read_log(path: Path) -> pd.DataFrame:
    """Read a trainer's log, a row per logged step, with those columns of `LOGGED` that it has.

    The validation after an epoch has a row of its own in the log; it joins the row of its step. A round of fine-tuning
    counts as a step and may have several rows.
    """
    log = pd.read_parquet(path)
    kept = log[["step", *(name for name in LOGGED if name in log)]]
    trained = kept.reindex(columns=["learning_rate"])["learning_rate"].notna()
    row = trained.groupby(kept["step"]).cumsum().clip(lower=1)
    return kept.assign(row=row).groupby(["step", "row"], as_index=False).first().drop(columns="row")


def read_logs(runs: list[Run], inputs: dict[str, Path]) -> list[tuple[Run, pd.DataFrame]]:
    """Read the logs of all runs that were trained here; refuse a training whose last step has no number in `FINITE`."""
    logs = []
    for run in runs:
        path = inputs[f"policy/{run.name}"] / "training.parquet"
        if not path.exists():
            continue
        log = read_log(path)
        for row in _of_training(log).tail(1).to_dict("records"):
            broken = [said for quantity, said in FINITE.items() if not np.isfinite(row.get(quantity, 0.0))]
            if broken:
                raise ParamsError(
                    f"{path}: the training of {run.name} broke down (no number at the last step, {row['step']}: "
                    f"{', '.join(broken)}), so its results would mean nothing; use a lower learning rate, or leave "
                    "the model out"
                )
        logs.append((run, log))
    return logs


def measure_training(
    logs: list[tuple[Run, pd.DataFrame]], rollouts: pd.DataFrame, strategies: tuple[str, ...]
) -> pd.DataFrame:
    """Join the logs of all runs with the shares of the strategies among the rollouts of each step."""
    tables = [log.assign(**run.model_dump() | {"seed": str(run.seed)}) for run, log in logs]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*MODEL, "step"])
    table = table.reindex(columns=[*MODEL, "step", *LOGGED])
    if rollouts.empty:
        return table.assign(**dict.fromkeys(strategies, float("nan")))
    step = [*MODEL, "step"]
    taken = rollouts[step].assign(**{strategy: rollouts["strategy"] == strategy for strategy in strategies})
    return table.merge(taken.groupby(step)[list(strategies)].mean().reset_index(), on=step, how="left")


def find_alarms(log: pd.DataFrame, bounds: Alarms) -> list[dict]:
    """List the stretches of steps at which one training went wrong, as rows of the table of alarms."""
    log = _of_training(log).reset_index(drop=True)
    # Where several steps train on the same rollouts, these are logged at the first step only.
    sampled = log.columns.intersection(["reward", "constant_groups", "cut_off"])
    log[sampled] = log[sampled].ffill()
    found = []
    for quantity, said in FINITE.items():
        if quantity in log:
            broken = ~np.isfinite(log[quantity])
            found += [(quantity, steps, np.nan, f"{said} not a number") for steps in _stretches(broken, 1)]
    if "loss" in log:
        log["loss_rise"] = log["loss"] - log["loss"].dropna().head(1).sum()
    for quantity, past, says in _past_bounds(log, bounds):
        for steps in _stretches(past, bounds.stretch):
            worst = float(log[quantity][steps].max())
            found.append((quantity, steps, worst, says.format(worst)))
    rows = []
    for quantity, steps, worst, says in found:
        first, last = log["step"][steps[0]], log["step"][steps[-1]]
        at = f"step {first}" if first == last else f"steps {first}–{last}"
        rows.append(dict(zip(COLUMNS[4:], (quantity, first, last, worst, f"{says} at {at}"), strict=True)))
    return rows


def _of_training(log: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of a log that hold nothing but a validation."""
    return log.dropna(subset="learning_rate") if "learning_rate" in log else log.iloc[:0]


def _past_bounds(log: pd.DataFrame, bounds: Alarms) -> Iterator[tuple[str, pd.Series, str]]:
    """Yield each quantity that was logged, the rows where it is past its bound, and the message."""
    for quantity, said in BOUNDED.items():
        if quantity in log:
            bound = getattr(bounds, quantity)
            yield quantity, log[quantity] > bound, f"{said} above {bound:g} (up to {{:.3g}})"
    if "constant_groups" in log:
        # If all rewards are 1, there is no gradient either, and nothing left to learn.
        flat = (log["constant_groups"] >= 1) & (log["reward"] < 1)
        yield "reward", flat, "no gradient, since all rewards within each group were equal (mean reward up to {:.3g})"


def _stretches(past: pd.Series, least: int) -> list[pd.Index]:
    """Return the row labels of each run of at least `least` true values."""
    run = (past != past.shift()).cumsum()[past]
    return [members for members in run.groupby(run).groups.values() if len(members) >= least]
