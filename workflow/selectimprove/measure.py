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
    samples, correct = counts["n"].to_numpy(), counts["c"].to_numpy()
    cell = ["variant", "sft", "training", "rl_step", "step_range"]
    for pooled, by_type, by_steps in product((False, True), repeat=3):
        keys = cell + ["seed"] * (not pooled) + ["problem_type"] * by_type + ["n_steps"] * by_steps
        for values, members in sorted(counts.groupby(keys).indices.items()):
            n, c = samples[members], correct[members]
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
                    "n_problems": len(members),
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
    index, used, passed = counts.index.to_frame(index=False), counts["used"].to_numpy(), counts["passed"].to_numpy()
    for keys in (cell, [name for name in cell if name != "seed"]):
        for values, members in sorted(index.groupby(keys).indices.items()):
            n_samples = used[members].sum(axis=1)
            for number, strategy in enumerate(LABELS):
                n_used, n_passed = used[members, number], passed[members, number]
                low, high = proportion_interval(n_used / n_samples, statistics.confidence, int(n_samples.sum()))
                rows.append(
                    {"seed": POOLED}
                    | dict(zip(keys, values, strict=True))
                    | {
                        "strategy": strategy,
                        "share": n_used.sum() / n_samples.sum(),
                        "share_low": low,
                        "share_high": high,
                        "pass_rate": n_passed.sum() / n_used.sum() if n_used.sum() else float("nan"),
                        "n_samples": int(n_used.sum()),
                        "n_problems": len(members),
                    }
                )
    return pd.DataFrame(rows).rename(columns={"problem_set": "step_range"})


def measure_mechanisms(counts: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Split the change in pass@1 since SFT at each checkpoint, with bootstrap intervals over problems.

    Both sides of a change are resampled with the same problems. ``all`` is the mean of the problem types, and ``pooled`` the
    mean of the seeds, of which each is split by itself.
    """
    parts = {}
    index = counts.index.to_frame(index=False)
    # Whole numbers, but kept as floating-point ones: products of integer matrices are slow.
    used, passed = (counts[count].to_numpy(dtype=float) for count in ("used", "passed"))
    same_start = ["variant", "sft", "seed", "problem_set", "problem_type"]
    for (variant, sft, seed, step_range, problem_type), members in sorted(index.groupby(same_start).indices.items()):
        # Within a checkpoint, rows are in the order of `n_steps` and `problem_id`.
        checkpoints = index.iloc[members].groupby(["training", "rl_step"]).indices
        checkpoints = {checkpoint: members[rows] for checkpoint, rows in sorted(checkpoints.items())}
        before = checkpoints.pop(("sft", 0))
        strata = index["n_steps"].to_numpy()[before]
        # Problems of other types, ranges and seeds are resampled independently of these.
        draws = zlib.crc32(f"{seed}/{step_range}/{problem_type}".encode())
        weights = bootstrap_weights(strata, statistics.n_bootstrap, draws)
        weights = np.vstack([np.ones(len(strata)), weights])
        start = [weights @ used[before], weights @ passed[before]]
        for (training, rl_step), after in checkpoints.items():
            model = (variant, sft, training, rl_step, step_range)
            split = split_change(*start, weights @ used[after], weights @ passed[after])
            parts.setdefault(model, {})[seed, problem_type] = np.stack(split)
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


def _margins(parts: dict):
    seeds = sorted({seed for cells in parts.values() for seed, _ in cells})
    return product(sorted(parts.items(), key=lambda item: item[0]), [*seeds, POOLED], [*PROBLEM_TYPES, "all"])


def measure_rewards(rollouts: pd.DataFrame) -> pd.DataFrame:
    """Average the rollouts of each RL step by problem type and number of steps."""
    if rollouts.empty:
        return rollouts
    number, completions = pd.factorize(rollouts["completion"])
    lengths = np.array([len(completion.split()) for completion in completions])
    rollouts = rollouts.assign(
        forward=rollouts["strategy"] == "forward", backward=rollouts["strategy"] == "backward", length=lengths[number]
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
