"""Pass rates of generations, what first goes wrong in them, and rewards of rollouts."""

from itertools import product

import numpy as np
import pandas as pd

from selectimprove.analysis.stats import pass_at_k, proportion_interval
from selectimprove.config.params import Statistics

POOLED = "pooled"
"""The `seed` of all seeds together."""
MODEL = ("variant", "sft", "training", "seed")


def per_problem(generations: pd.DataFrame, difficulty: str) -> pd.DataFrame:
    """Count the samples and correct samples of each problem at each checkpoint."""
    keys = [*MODEL, "rl_step", "problem_set", "problem_type", difficulty, "problem_id"]
    counts = generations.groupby(keys)["correct"].agg(n="size", c="sum").reset_index()
    return counts.rename(columns={"problem_set": "step_range"})


def measure_pass_rates(generations: pd.DataFrame, difficulty: str, statistics: Statistics) -> pd.DataFrame:
    """Estimate pass@1 and pass@k, k being the number of samples, in every cell and margin."""
    counts = per_problem(generations, difficulty)
    rows = []
    samples, correct = counts["n"].to_numpy(), counts["c"].to_numpy()
    cell = ["variant", "sft", "training", "rl_step", "step_range"]
    for pooled, by_type, by_difficulty in product((False, True), repeat=3):
        keys = cell + ["seed"] * (not pooled) + ["problem_type"] * by_type + [difficulty] * by_difficulty
        for values, members in sorted(counts.groupby(keys).indices.items()):
            n, c = samples[members], correct[members]
            low, high = proportion_interval(c / n, statistics.confidence, int(n.sum()))
            rows.append(
                {"seed": POOLED, "problem_type": "all", difficulty: "all"}
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
    return pd.DataFrame(rows).astype({difficulty: str})


def measure_first_errors(generations: pd.DataFrame, difficulty: str, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Count what first goes wrong, as a share of all generations of a model, of all seeds together, on problems of one difficulty.

    Other numbers among the labels, such as the right parts of a composition, are averaged.
    """
    keys = [*(name for name in MODEL if name != "seed"), "rl_step", "problem_set", "problem_type", difficulty]
    groups = generations.groupby(keys)
    errors = generations.groupby([*keys, "first_error"]).size().unstack(fill_value=0)
    shares = errors.reindex(columns=list(kinds), fill_value=0)
    shares = shares.div(shares.sum(axis="columns"), axis="index").assign(n_generations=groups.size())
    if "n_right" in generations:
        shares = shares.assign(n_right=groups["n_right"].mean())
    return shares.reset_index().rename_axis(columns=None).rename(columns={"problem_set": "step_range"})


def measure_rewards(rollouts: pd.DataFrame, difficulty: str, strategies: tuple[str, ...]) -> pd.DataFrame:
    """Average the rollouts of each RL step by problem type and difficulty."""
    if rollouts.empty:
        return rollouts
    number, completions = pd.factorize(rollouts["completion"])
    lengths = np.array([len(completion.split()) for completion in completions])
    shares = {strategy: rollouts["strategy"] == strategy for strategy in strategies}
    rollouts = rollouts.assign(**shares, length=lengths[number])
    groups = rollouts.groupby([*MODEL, "step", "problem_type", difficulty])
    table = groups[["reward", *strategies, "length"]].mean()
    return table.assign(n_rollouts=groups.size()).reset_index()
