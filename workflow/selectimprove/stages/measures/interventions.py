"""What models do when they are decoded greedily or told a strategy, and the split of a change that follows from it."""

import zlib

import numpy as np
import pandas as pd

from selectimprove.analysis.mechanisms import PARTS, Behaviour, find_openings, split_change
from selectimprove.analysis.stats import bootstrap_weights, percentile_interval, proportion_interval
from selectimprove.config.params import Statistics
from selectimprove.stages.measures.pass_rates import MODEL, POOLED

SEED_APART = [name for name in MODEL if name != "seed"]


def measure_interventions(interventions: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Estimate pass@1 by how a model is decoded and what it is told, with intervals over problems."""
    rows = []
    how = ["rl_step", "problem_set", "problem_type", "greedy", "told"]
    for keys in ([*MODEL, *how], [*SEED_APART, *how]):
        for values, cell in interventions.groupby(keys):
            passed = cell.groupby(["seed", "problem_id"])["correct"].mean().to_numpy(float)
            low, high = proportion_interval(passed, statistics.confidence, len(cell))
            measured = {"pass_at_1": passed.mean(), "ci_low": low, "ci_high": high, "n_problems": len(passed)}
            rows.append({"seed": POOLED} | dict(zip(keys, values, strict=True)) | measured)
    return pd.DataFrame(rows).rename(columns={"problem_set": "step_range"})


def measure_mechanisms(
    generations: pd.DataFrame,
    interventions: pd.DataFrame,
    difficulty: str,
    openings: dict[str, str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Split the change in pass@1 from before RL to its end, with bootstrap intervals over problems.

    Both sides of a change are resampled with the same problems. ``change`` is what the models do of their own accord, on the problems
    of the split. ``all`` is the mean of the problem types, and ``pooled`` the mean of the seeds, of which each is split by itself.
    """
    same_start = ["variant", "sft", "seed", "problem_set", "problem_type"]
    own = dict(list(generations.groupby(same_start)))
    parts: dict[tuple, dict[tuple, dict[str, np.ndarray]]] = {}
    for start, cell in interventions.groupby(same_start):
        variant, sft, seed, step_range, problem_type = start
        problems = cell.drop_duplicates("problem_id").set_index("problem_id")[difficulty]
        # Problems of other types, ranges and seeds are resampled independently of these.
        draws = zlib.crc32(f"{seed}/{step_range}/{problem_type}".encode())
        weights = np.vstack(
            [np.ones(len(problems)), bootstrap_weights(problems.to_numpy(), statistics.n_bootstrap, draws)]
        )
        models = {}
        for training, answers in cell.groupby("training"):
            rows = own[start]
            rows = rows[(rows["training"] == training) & (rows["rl_step"] == answers["rl_step"].iloc[0])]
            rate = rows.groupby("problem_id")["correct"].mean().reindex(problems.index).to_numpy(float)
            rows = rows.assign(strategy=find_openings(rows["completion"], openings))
            models[training] = (
                answers["rl_step"].iloc[0],
                Behaviour.of(rows, answers, [*openings], problems.index),
                rate,
            )
        _, before, rate_before = models.pop("sft")
        for training, (rl_step, after, rate_after) in models.items():
            split = split_change(weights, before, after)
            split["change"] = weights @ (rate_after - rate_before) / weights.sum(axis=1)
            parts.setdefault((variant, sft, training, rl_step, step_range), {})[seed, problem_type] = split
    rows = []
    for model, cells in parts.items():
        seeds, types = ({key[at] for key in cells} for at in (0, 1))
        for seed, problem_type in ((s, t) for s in (*sorted(seeds), POOLED) for t in (*sorted(types), "all")):
            chosen = [cell for (s, t), cell in cells.items() if seed in (s, POOLED) and problem_type in (t, "all")]
            row = dict(zip(("variant", "sft", "training", "rl_step", "step_range"), model, strict=True))
            row |= {"seed": seed, "problem_type": problem_type}
            for name in ("change", "improvement", *PARTS):
                draws = np.mean([cell[name] for cell in chosen], axis=0)
                low, high = percentile_interval(draws[1:], statistics.confidence)
                row |= {name: float(draws[0]), f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return pd.DataFrame(rows)
