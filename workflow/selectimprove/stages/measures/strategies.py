"""Shares and pass rates of strategies, and the split of a change into selection and improvement."""

import zlib
from itertools import product

import numpy as np
import pandas as pd

from selectimprove.analysis.mechanisms import split_change
from selectimprove.analysis.stats import bootstrap_weights, percentile_interval, proportion_interval
from selectimprove.config.params import Statistics
from selectimprove.stages.measures.pass_rates import MODEL, POOLED


def strategy_counts(generations: pd.DataFrame, difficulty: str, strategies: tuple[str, ...]) -> pd.DataFrame:
    """Count, for each problem, the generations of each strategy and the correct ones of them.

    Returns
    -------
    pandas.DataFrame
        One row per model, checkpoint, problem set, type and problem; columns (``used`` or ``passed``, strategy).
    """
    keys = [*MODEL, "rl_step", "problem_set", "problem_type", difficulty, "problem_id", "strategy"]
    counts = generations.groupby(keys)["correct"].agg(used="size", passed="sum").unstack("strategy", fill_value=0)
    columns = pd.MultiIndex.from_product([["used", "passed"], strategies])
    return counts.reindex(columns=columns, fill_value=0)


def measure_strategies(counts: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Estimate the share, with its interval over problems, and the pass rate of each strategy in each cell."""
    rows = []
    cell = [*MODEL, "rl_step", "problem_set", "problem_type"]
    index, used, passed = counts.index.to_frame(index=False), counts["used"].to_numpy(), counts["passed"].to_numpy()
    used_columns = counts["used"].columns
    for keys in (cell, [name for name in cell if name != "seed"]):
        for values, members in sorted(index.groupby(keys).indices.items()):
            n_samples = used[members].sum(axis=1)
            for number, strategy in enumerate(used_columns):
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


def measure_mechanisms(counts: pd.DataFrame, difficulty: str, statistics: Statistics) -> pd.DataFrame:
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
        # Within a checkpoint, rows are in the order of the difficulty and `problem_id`.
        checkpoints = index.iloc[members].groupby(["training", "rl_step"]).indices
        checkpoints = {checkpoint: members[rows] for checkpoint, rows in sorted(checkpoints.items())}
        before = checkpoints.pop(("sft", 0))
        strata = index[difficulty].to_numpy()[before]
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
    types = sorted({problem_type for cells in parts.values() for _, problem_type in cells})
    return product(sorted(parts.items(), key=lambda item: item[0]), [*seeds, POOLED], [*types, "all"])
