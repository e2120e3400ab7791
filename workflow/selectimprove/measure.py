"""Measures: everything that the exhibits of an experiment show, computed from labels.

Writes, with `sft`, `training` and `seed` naming the model, and ``pooled`` for all seeds together:

``pass_rates.parquet``
    pass@1 and pass@k by checkpoint, step range, problem type and number of steps, each also ``all`` together.
``strategies.parquet``
    Share and pass rate of each strategy by checkpoint, step range and problem type.
``mechanisms.parquet``
    The change in pass@1 since SFT by checkpoint, step range and problem type, split into selection and improvement.
``rewards.parquet``
    Mean reward, shares of the strategies and length of the rollouts by RL step, problem type and number of steps.

Intervals are over problems: pooled ones too speak of these models on other problems, not of other seeds.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.config import MeasureStage, Run, Statistics
from selectimprove.labeling import LABELS
from selectimprove.mechanisms import split_change
from selectimprove.problems import PROBLEM_TYPES
from selectimprove.stage import run_stage
from selectimprove.stats import bootstrap_weights, pass_at_k, percentile_interval, proportion_interval

POOLED = "pooled"
MODEL = ["sft", "training", "seed"]


def read_labels(runs: list[Run], inputs: dict[str, Path], table: str) -> pd.DataFrame:
    """Read one table of labels of all runs that have it, the model in front."""
    tables = []
    for run in runs:
        path = inputs[f"{run.sft}/{run.training}/{run.seed}"] / f"{table}.parquet"
        if path.exists():
            labels = pd.read_parquet(path)
            tables.append(labels.assign(sft=run.sft, training=run.training, seed=str(run.seed)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def per_problem(generations: pd.DataFrame) -> pd.DataFrame:
    """Count the samples and correct samples of each problem at each checkpoint."""
    keys = [*MODEL, "rl_step", "problem_set", "problem_type", "n_steps", "problem_id"]
    counts = generations.groupby(keys)["correct"].agg(n="size", c="sum").reset_index()
    return counts.rename(columns={"problem_set": "step_range"})


def measure_pass_rates(generations: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Estimate pass@1 and pass@k, k being the number of samples, in every cell and margin."""
    counts = per_problem(generations)
    rows = []
    cell = ["sft", "training", "rl_step", "step_range"]
    for pooled, by_type, by_steps in product((False, True), repeat=3):
        keys = cell + ["seed"] * (not pooled) + ["problem_type"] * by_type + ["n_steps"] * by_steps
        for values, group in counts.groupby(keys):
            n, c = group["n"].to_numpy(), group["c"].to_numpy()
            low, high = proportion_interval(c / n, statistics.confidence, int(n.sum()))
            rows.append(
                {"seed": POOLED, "problem_type": "all", "n_steps": "all"}
                | dict(zip(keys, values, strict=True))
                | {
                    "pass_at_1": float(pass_at_k(n, c, 1).mean()),
                    "ci_low": low,
                    "ci_high": high,
                    "k": int(n.min()),
                    "pass_at_k": float(pass_at_k(n, c, int(n.min())).mean()),
                    "n_problems": len(group),
                    "n_samples": int(n.sum()),
                }
            )
    return pd.DataFrame(rows).astype({"n_steps": str})


def strategy_counts(generations: pd.DataFrame) -> pd.DataFrame:
    """Count, for each problem, the generations of each strategy and the correct ones of them.

    Returns
    -------
    pandas.DataFrame
        One row a (model, checkpoint, step range, type, problem); columns (``used`` or ``passed``, strategy).
    """
    keys = [*MODEL, "rl_step", "problem_set", "problem_type", "n_steps", "problem_id", "strategy"]
    counts = generations.groupby(keys)["correct"].agg(used="size", passed="sum").unstack("strategy", fill_value=0)
    columns = pd.MultiIndex.from_product([["used", "passed"], LABELS])
    return counts.reindex(columns=columns, fill_value=0)


def measure_strategies(counts: pd.DataFrame) -> pd.DataFrame:
    """Estimate the share and the pass rate of each strategy in each cell."""
    totals = counts.groupby([*MODEL, "rl_step", "problem_set", "problem_type"]).sum()
    used, passed = totals["used"], totals["passed"]
    table = pd.DataFrame(
        {
            "share": used.div(used.sum(axis="columns"), axis="index").stack(),
            "pass_rate": (passed / used.where(used > 0)).stack(),
            "n_samples": used.stack(),
        }
    )
    names = [*MODEL, "rl_step", "step_range", "problem_type", "strategy"]
    return table.rename_axis(names).reset_index()


def measure_mechanisms(counts: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Split the change in pass@1 since SFT at each checkpoint, with bootstrap intervals over problems.

    Both sides of a change are resampled with the same problems. ``all`` is the mean of the problem types, and ``pooled`` the
    mean of the seeds, of which each is split by itself.
    """
    parts = {}
    for (sft, seed, step_range, problem_type), cell in counts.groupby(["sft", "seed", "problem_set", "problem_type"]):
        before = _by_problem(cell.xs("sft", level="training"))
        strata = before.index.get_level_values("n_steps").to_numpy()
        weights = bootstrap_weights(strata, statistics.n_bootstrap, seed=0)
        weights = np.vstack([np.ones_like(strata), weights])
        after = cell[cell.index.get_level_values("training") != "sft"]
        for (training, rl_step), group in after.groupby(["training", "rl_step"]):
            group = _by_problem(group).reindex(before.index)
            sides = [weights @ side[count].to_numpy() for side in (before, group) for count in ("used", "passed")]
            parts[sft, training, seed, rl_step, step_range, problem_type] = np.stack(split_change(*sides))
    rows = []
    for (sft, training, rl_step, step_range), seed, problem_type in _cells(parts):
        chosen = [
            part
            for (*model, s, r, g, t), part in parts.items()
            if (*model, r, g) == (sft, training, rl_step, step_range)
            and seed in (s, POOLED)
            and problem_type in (t, "all")
        ]
        selection, improvement = np.mean(chosen, axis=0)
        row = {
            "sft": sft, "training": training, "seed": seed, "rl_step": rl_step,
            "step_range": step_range, "problem_type": problem_type,
        }  # fmt: skip
        for name, draws in (
            ("change", selection + improvement), ("selection", selection), ("improvement", improvement)
        ):  # fmt: skip
            low, high = percentile_interval(draws[1:], statistics.confidence)
            row |= {name: float(draws[0]), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _by_problem(counts: pd.DataFrame) -> pd.DataFrame:
    return counts.droplevel([name for name in counts.index.names if name not in ("n_steps", "problem_id")])


def _cells(parts: dict):
    models = sorted({(sft, training, rl_step, step_range) for sft, training, _, rl_step, step_range, _ in parts})
    seeds = sorted({key[2] for key in parts})
    return product(models, [*seeds, POOLED], [*PROBLEM_TYPES, "all"])


def measure_rewards(rollouts: pd.DataFrame) -> pd.DataFrame:
    """Average the rollouts of each RL step by problem type and number of steps."""
    if rollouts.empty:
        return rollouts
    rollouts = rollouts.assign(
        forward=rollouts["strategy"] == "forward",
        backward=rollouts["strategy"] == "backward",
        length=rollouts["completion"].str.split().str.len(),
    )
    groups = rollouts.groupby([*MODEL, "step", "problem_type", "n_steps"])
    table = groups[["reward", "forward", "backward", "length"]].mean()
    return table.assign(n_rollouts=groups.size()).reset_index()


def measure_experiment(config: MeasureStage, inputs: dict[str, Path], folder: Path) -> None:
    """Measure the runs of an experiment, whose labels are the inputs."""
    generations = read_labels(config.runs, inputs, "generations")
    counts = strategy_counts(generations)
    tables = {
        "pass_rates": measure_pass_rates(generations, config.statistics),
        "strategies": measure_strategies(counts),
        "mechanisms": measure_mechanisms(counts, config.statistics),
        "rewards": measure_rewards(read_labels(config.runs, inputs, "rollouts")),
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)


if __name__ == "__main__":
    run_stage(MeasureStage, measure_experiment)
