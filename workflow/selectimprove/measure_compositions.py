"""Measures of an experiment on compositions, computed from labels.

Writes, with `sft`, `training` and `seed` naming the model, and ``pooled`` for all seeds together:

``pass_rates.parquet``
    pass@1 by checkpoint and number of parts.
``first_errors.parquet``
    Share of the generations by what first goes wrong, with the mean number of right parts, by checkpoint and number of parts.
``rewards.parquet``
    Mean reward of the rollouts by RL step and number of parts.

Intervals are over problems.
"""

from pathlib import Path

import pandas as pd

from selectimprove.config import CompositionMeasureStage, Statistics
from selectimprove.label_compositions import PART_ERRORS
from selectimprove.measure import POOLED, read_runs
from selectimprove.stage import run_stage
from selectimprove.stats import proportion_interval


def measure_parts(generations: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Estimate pass@1 by number of parts."""
    model = ["sft", "training", "rl_step", "n_parts"]
    problems = generations.groupby([*model, "seed", "problem_id"])["correct"].agg(n="size", passed="mean").reset_index()
    rows = []
    for keys in ([*model, "seed"], model):
        for values, group in problems.groupby(keys):
            n_samples = int(group["n"].sum())
            low, high = proportion_interval(group["passed"].to_numpy(), statistics.confidence, n_samples)
            found = {"pass_at_1": group["passed"].mean(), "ci_low": low, "ci_high": high}
            sizes = {"n_problems": len(group), "n_samples": n_samples}
            rows.append({"seed": POOLED} | dict(zip(keys, values, strict=True)) | found | sizes)
    return pd.DataFrame(rows)


def measure_first_errors(generations: pd.DataFrame) -> pd.DataFrame:
    """Count what first goes wrong, as a share of all generations of a model on problems of so many parts."""
    keys = ["sft", "training", "rl_step", "n_parts"]
    errors = generations.groupby([*keys, "first_error"]).size().unstack(fill_value=0)
    shares = errors.reindex(columns=list(PART_ERRORS), fill_value=0)
    right = generations.groupby(keys)["n_right"].mean()
    shares = shares.div(shares.sum(axis="columns"), axis="index").assign(
        n_right=right, n_generations=errors.sum(axis=1)
    )
    return shares.reset_index().rename_axis(columns=None)


def measure_experiment(config: CompositionMeasureStage, inputs: dict[str, Path], folder: Path) -> None:
    """Measure the runs, whose labels are the inputs."""
    generations = read_runs(config.runs, inputs, "labels", "generations")
    rollouts = read_runs(config.runs, inputs, "labels", "rollouts")
    measure_parts(generations, config.statistics).to_parquet(folder / "pass_rates.parquet", index=False)
    measure_first_errors(generations).to_parquet(folder / "first_errors.parquet", index=False)
    if not rollouts.empty:
        keys = ["sft", "training", "seed", "step", "n_parts"]
        rewards = rollouts.groupby(keys)["reward"].agg(reward="mean", n_rollouts="size").reset_index()
        rewards.to_parquet(folder / "rewards.parquet", index=False)


if __name__ == "__main__":
    run_stage(CompositionMeasureStage, measure_experiment)
