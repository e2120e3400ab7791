"""How training went: what the trainer logged at each step, and the strategies of the step's rollouts."""

from pathlib import Path

import pandas as pd

from selectimprove.config.stages import Run
from selectimprove.stages.measures.pass_rates import MODEL

LOGGED = {
    "loss": "loss",
    "eval_loss": "eval_loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "kl": "kl",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "constant_groups",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "cut_off",
}
"""What is kept of a trainer's log, as the trainer calls it and as the measures do."""


def read_log(path: Path) -> pd.DataFrame:
    """Read what a trainer logged, a row each time; what it never logged has no column.

    Validation after an epoch is a row of its own in the file: it is joined to the row of its step. A round of fine-tuning, which counts as a
    step, may have several rows. A training that ended before its trainer first logged has none.
    """
    log = pd.read_parquet(path)
    kept = log[["step", *(name for name in LOGGED if name in log)]].rename(columns=LOGGED)
    trained = kept.reindex(columns=["learning_rate"])["learning_rate"].notna()
    row = trained.groupby(kept["step"]).cumsum().clip(lower=1)
    return kept.assign(row=row).groupby(["step", "row"], as_index=False).first().drop(columns="row")


def measure_training(
    logs: list[tuple[Run, pd.DataFrame]], rollouts: pd.DataFrame, strategies: tuple[str, ...]
) -> pd.DataFrame:
    """Join the logs of all runs with the shares of the strategies among the rollouts of each step.

    Parameters
    ----------
    logs : list of (Run, pandas.DataFrame)
        As `read_log` returns them.
    rollouts : pandas.DataFrame
        Labels of all rollouts, each naming its model; empty without RL.
    strategies : tuple of str

    Returns
    -------
    pandas.DataFrame
        A row per model and step, with every column of `LOGGED` and one per strategy; NaN where a training does not log it.
    """
    tables = [log.assign(**run.model_dump() | {"seed": str(run.seed)}) for run, log in logs]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*MODEL, "step"])
    table = table.reindex(columns=[*MODEL, "step", *LOGGED.values()])
    if rollouts.empty:
        return table.assign(**dict.fromkeys(strategies, float("nan")))
    step = [*MODEL, "step"]
    taken = rollouts[step].assign(**{strategy: rollouts["strategy"] == strategy for strategy in strategies})
    return table.merge(taken.groupby(step)[list(strategies)].mean().reset_index(), on=step, how="left")
