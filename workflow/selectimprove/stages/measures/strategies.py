"""Shares and pass rates of strategies, as labels name them."""

import pandas as pd

from selectimprove.analysis.stats import proportion_interval
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
