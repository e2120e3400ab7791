"""Measures: everything that the exhibits of an experiment show, computed from labels.

Writes, with `variant`, `sft`, `training` and `seed` naming the model, and ``pooled`` for all seeds together:

``pass_rates.parquet``
    pass@1 and pass@k by checkpoint, step range, problem type and number of steps, each also ``all`` together.
``strategies.parquet``
    Share and pass rate of each strategy by checkpoint, step range and problem type.
``mechanisms.parquet``
    The change in pass@1 since SFT by checkpoint, step range and problem type, split into selection and improvement.
``rewards.parquet``
    Mean reward, shares of the strategies and length of the rollouts by RL step, problem type and number of steps.
``training.parquet``
    What the trainers logged: cross-entropies of SFT; KL divergence, gradient norm and more of RL.

Intervals are over problems: pooled ones too speak of these models on other problems, not of other seeds.
"""

import zlib
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
MODEL = ["variant", "sft", "training", "seed"]


def read_runs(runs: list[Run], inputs: dict[str, Path], role: str, table: str) -> pd.DataFrame:
    """Read one table of all runs that have it, each row naming its model."""
    tables = []
    for run in runs:
        path = inputs[f"{role}/{run.name}"] / f"{table}.parquet"
        if path.exists():
            model = run.model_dump() | {"seed": str(run.seed)}
            tables.append(pd.read_parquet(path).assign(**model))
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
    cell = ["variant", "sft", "training", "rl_step", "step_range"]
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


def measure_strategies(counts: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Estimate the share, with its interval over problems, and the pass rate of each strategy in each cell."""
    rows = []
    cell = [*MODEL, "rl_step", "problem_set", "problem_type"]
    for keys in (cell, [name for name in cell if name != "seed"]):
        for (values, group), strategy in product(counts.groupby(keys), LABELS):
            n_samples = group["used"].sum(axis="columns")
            used, passed = group["used", strategy], group["passed", strategy]
            low, high = proportion_interval((used / n_samples).to_numpy(), statistics.confidence, int(n_samples.sum()))
            rows.append(
                {"seed": POOLED}
                | dict(zip(keys, values, strict=True))
                | {
                    "strategy": strategy,
                    "share": used.sum() / n_samples.sum(),
                    "share_low": low,
                    "share_high": high,
                    "pass_rate": passed.sum() / used.sum() if used.sum() else float("nan"),
                    "n_samples": int(used.sum()),
                    "n_problems": len(group),
                }
            )
    return pd.DataFrame(rows).rename(columns={"problem_set": "step_range"})


def measure_mechanisms(counts: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Split the change in pass@1 since SFT at each checkpoint, with bootstrap intervals over problems.

    Both sides of a change are resampled with the same problems. ``all`` is the mean of the problem types, and ``pooled`` the
    mean of the seeds, of which each is split by itself.
    """
    parts = {}
    same_start = ["variant", "sft", "seed", "problem_set", "problem_type"]
    for (variant, sft, seed, step_range, problem_type), cell in counts.groupby(same_start):
        before = _by_problem(cell.xs("sft", level="training"))
        strata = before.index.get_level_values("n_steps").to_numpy()
        # Problems of other types, ranges and seeds are resampled independently of these.
        draws = zlib.crc32(f"{seed}/{step_range}/{problem_type}".encode())
        weights = bootstrap_weights(strata, statistics.n_bootstrap, draws)
        weights = np.vstack([np.ones_like(strata), weights])
        after = cell[cell.index.get_level_values("training") != "sft"]
        for (training, rl_step), group in after.groupby(["training", "rl_step"]):
            group = _by_problem(group).reindex(before.index)
            sides = [weights @ side[count].to_numpy() for side in (before, group) for count in ("used", "passed")]
            model = (variant, sft, training, rl_step, step_range)
            parts.setdefault(model, {})[seed, problem_type] = np.stack(split_change(*sides))
    rows = []
    for (model, cells), seed, problem_type in _margins(parts):
        chosen = [part for (s, t), part in cells.items() if seed in (s, POOLED) and problem_type in (t, "all")]
        selection, improvement = np.mean(chosen, axis=0)
        row = dict(zip(("variant", "sft", "training", "rl_step", "step_range"), model, strict=True))
        row |= {"seed": seed, "problem_type": problem_type}
        for name, draws in (
            ("change", selection + improvement), ("selection", selection), ("improvement", improvement)
        ):  # fmt: skip
            low, high = percentile_interval(draws[1:], statistics.confidence)
            row |= {name: float(draws[0]), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _by_problem(counts: pd.DataFrame) -> pd.DataFrame:
    return counts.droplevel([name for name in counts.index.names if name not in ("n_steps", "problem_id")])


def _margins(parts: dict):
    seeds = sorted({seed for cells in parts.values() for seed, _ in cells})
    return product(sorted(parts.items(), key=lambda item: item[0]), [*seeds, POOLED], [*PROBLEM_TYPES, "all"])


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
    """Measure the runs of an experiment, whose labels and trained models are the inputs."""
    generations = read_runs(config.runs, inputs, "labels", "generations")
    counts = strategy_counts(generations)
    tables = {
        "pass_rates": measure_pass_rates(generations, config.statistics),
        "strategies": measure_strategies(counts, config.statistics),
        "mechanisms": measure_mechanisms(counts, config.statistics),
        "rewards": measure_rewards(read_runs(config.runs, inputs, "labels", "rollouts")),
        "training": read_runs(config.runs, inputs, "policy", "training"),
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)


if __name__ == "__main__":
    run_stage(MeasureStage, measure_experiment)
