"""Estimates, with intervals over problems, from the labels of an experiment's models."""

import zlib
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from selectimprove.analysis.mechanisms import PARTS, Behaviour, find_openings, split_change
from selectimprove.analysis.stats import bootstrap_weights, change_interval, pass_at_k, proportion_interval
from selectimprove.config.sections import Statistics

POOLED = "pooled"
"""The `seed` of all seeds together."""
UNSEEDED = ["variant", "sft", "training"]
MODEL = [*UNSEEDED, "seed"]
CELL = ["rl_step", "problem_set", "problem_type"]


def _cells(table: pd.DataFrame, *groupings: list[str]) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield the cells of each grouping in turn: the values of its columns, and the positions of its rows."""
    for columns in groupings:
        for values, members in sorted(table.groupby(columns).indices.items()):
            yield {"seed": POOLED} | dict(zip(columns, values, strict=True)), members


def measure_pass_rates(generations: pd.DataFrame, difficulty: str, statistics: Statistics) -> pd.DataFrame:
    """Estimate pass@1 and pass@k in every cell and margin, where k is the number of samples."""
    keys = [*MODEL, *CELL, difficulty, "problem_id"]
    counts = generations.groupby(keys)["correct"].agg(n="size", c="sum").reset_index()
    samples, correct = counts["n"].to_numpy(), counts["c"].to_numpy()
    always = [*UNSEEDED, "rl_step", "problem_set"]
    choices = product((["seed"], []), ([], ["problem_type"]), ([], [difficulty]))
    groupings = [always + seed + by_type + by_difficulty for seed, by_type, by_difficulty in choices]
    rows = []
    for cell, members in _cells(counts, *groupings):
        n, c = samples[members], correct[members]
        low, high = proportion_interval(c / n, statistics.confidence, int(n.sum()))
        measured = {"pass_at_1": float(pass_at_k(n, c, 1).mean()), "ci_low": low, "ci_high": high}
        measured |= {"k": int(n.min()), "pass_at_k": float(pass_at_k(n, c, int(n.min())).mean())}
        measured |= {"n_problems": len(members), "n_samples": int(n.sum())}
        rows.append({"seed": POOLED, "problem_type": "all", difficulty: "all"} | cell | measured)
    return pd.DataFrame(rows).astype({difficulty: str})


def measure_strategies(
    generations: pd.DataFrame, difficulty: str, strategies: tuple[str, ...], statistics: Statistics
) -> pd.DataFrame:
    """Estimate the share and the pass rate of each strategy in each cell."""
    keys = [*MODEL, *CELL, difficulty, "problem_id", "strategy"]
    counts = generations.groupby(keys)["correct"].agg(used="size", passed="sum").unstack("strategy", fill_value=0)
    columns = pd.MultiIndex.from_product([["used", "passed"], strategies])
    counts = counts.reindex(columns=columns, fill_value=0)
    used, passed = counts["used"].to_numpy(), counts["passed"].to_numpy()
    rows = []
    for cell, members in _cells(counts.index.to_frame(index=False), MODEL + CELL, UNSEEDED + CELL):
        n_samples = used[members].sum(axis=1)
        for number, strategy in enumerate(strategies):
            n_used, n_passed = used[members, number], passed[members, number]
            low, high = proportion_interval(n_used / n_samples, statistics.confidence, int(n_samples.sum()))
            share = {"share": n_used.sum() / n_samples.sum(), "share_low": low, "share_high": high}
            pass_rate = n_passed.sum() / n_used.sum() if n_used.sum() else float("nan")
            measured = {"pass_rate": pass_rate, "n_samples": int(n_used.sum()), "n_problems": len(members)}
            rows.append(cell | {"strategy": strategy} | share | measured)
    return pd.DataFrame(rows)


def measure_first_errors(generations: pd.DataFrame, difficulty: str, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Return the shares of first errors among the generations of all seeds, and the mean number of right parts."""
    keys = [*UNSEEDED, *CELL, difficulty]
    groups = generations.groupby(keys)
    errors = generations.groupby([*keys, "first_error"]).size().unstack(fill_value=0)
    shares = errors.reindex(columns=list(kinds), fill_value=0)
    shares = shares.div(shares.sum(axis="columns"), axis="index").assign(n_generations=groups.size())
    if "n_right" in generations:
        shares = shares.assign(n_right=groups["n_right"].mean())
    return shares.reset_index().rename_axis(columns=None)


def measure_rewards(rollouts: pd.DataFrame, difficulty: str, strategies: tuple[str, ...]) -> pd.DataFrame:
    """Average the rollouts of each RL step by problem type and difficulty."""
    if rollouts.empty:
        return rollouts
    number, completions = pd.factorize(rollouts["completion"])
    lengths = np.array([len(completion.split()) for completion in completions])
    shares = {strategy: rollouts["strategy"] == strategy for strategy in strategies}
    groups = rollouts.assign(**shares, length=lengths[number]).groupby([*MODEL, "step", "problem_type", difficulty])
    means = groups[["reward", *strategies, "length"]].mean()
    return means.assign(n_rollouts=groups.size()).reset_index()


def measure_interventions(interventions: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Estimate pass@1 by decoding and by the strategy that a model is told."""
    if interventions.empty:
        return pd.DataFrame()
    decoding = ["greedy", "told"]
    keys = [*MODEL, *CELL, *decoding]
    counts = interventions.groupby([*keys, "problem_id"])["correct"].agg(n="size", c="sum").reset_index()
    rows = []
    for cell, members in _cells(counts, keys, UNSEEDED + CELL + decoding):
        n, c = counts["n"].to_numpy()[members], counts["c"].to_numpy()[members]
        low, high = proportion_interval(c / n, statistics.confidence, int(n.sum()))
        rows.append(cell | {"pass_at_1": (c / n).mean(), "ci_low": low, "ci_high": high, "n_problems": len(members)})
    return pd.DataFrame(rows)


def measure_mechanisms(
    generations: pd.DataFrame,
    interventions: pd.DataFrame,
    difficulty: str,
    openings: dict[str, str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Split the change in pass@1 from before RL to its end; empty where no strategy is told.

    ``change`` is that of generations without an intervention, on the problems that are split; before and after, these
    are resampled alike. ``all`` is the mean of the problem types, and ``pooled`` that of the seeds; both are split too.
    """
    if interventions.empty or not openings:
        return pd.DataFrame()
    same_start = ["variant", "sft", "seed", "problem_set", "problem_type"]
    own = dict(iter(generations.groupby(same_start)))
    parts: dict[tuple, dict[tuple, dict[str, np.ndarray]]] = {}
    for start, cell in interventions.groupby(same_start):
        variant, sft, seed, problem_set, problem_type = start
        problems = cell.drop_duplicates("problem_id").set_index("problem_id")[difficulty]
        # Other problem types, sets and seeds are resampled independently.
        draws = zlib.crc32(f"{seed}/{problem_set}/{problem_type}".encode())
        resamples = bootstrap_weights(problems.to_numpy(), statistics.n_bootstrap, draws)
        weights = np.vstack([np.ones(len(problems)), resamples])
        models = {}
        for training, answers in cell.groupby("training"):
            rl_step = answers["rl_step"].iloc[0]
            rows = own[start]
            rows = rows[(rows["training"] == training) & (rows["rl_step"] == rl_step)]
            rate = rows.groupby("problem_id")["correct"].mean().reindex(problems.index).to_numpy(float)
            rows = rows.assign(strategy=find_openings(rows["completion"], openings))
            models[training] = rl_step, Behaviour.of(rows, answers, [*openings], problems.index), rate
        _, before, rate_before = models.pop("sft")
        for training, (rl_step, after, rate_after) in models.items():
            split = split_change(weights, before, after)
            split["n_problems"] = len(problems)
            split["change"] = weights @ (rate_after - rate_before) / weights.sum(axis=1)
            parts.setdefault((variant, sft, training, rl_step, problem_set), {})[seed, problem_type] = split
    rows = []
    for model, cells in parts.items():
        seeds, types = (sorted({key[at] for key in cells}) for at in (0, 1))
        for seed, problem_type in product((*seeds, POOLED), (*types, "all")):
            chosen = [cell for (s, t), cell in cells.items() if seed in (s, POOLED) and problem_type in (t, "all")]
            row = dict(zip(("variant", "sft", "training", "rl_step", "problem_set"), model, strict=True))
            row |= {"seed": seed, "problem_type": problem_type}
            n_problems = sum(cell["n_problems"] for cell in chosen)
            for name in ("change", "improvement", *PARTS):
                draws = np.mean([cell[name] for cell in chosen], axis=0)
                low, high = change_interval(draws[1:], n_problems, statistics.confidence)
                row |= {name: float(draws[0]), f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return pd.DataFrame(rows)
