"""Demonstrations: what SFT learns from, each problem answered in one strategy.

The share of forward responses is the mix: 1 for F, 0 for B, one half for FB, where each problem is answered with either (paper,
SFT section). Writes ``demonstrations.parquet``: the rows of the problem set with `strategy` and `completion`.
"""

import random
from pathlib import Path

import pandas as pd

from selectimprove.config import DemonstrationsStage
from selectimprove.datasets import field_of, read_problems
from selectimprove.problems import Problem
from selectimprove.stage import run_stage
from selectimprove.strategies import respond


def assign_strategies(problems: list[Problem], forward_share: float, seed: int) -> list[str]:
    """Choose a strategy for each problem, the share exact within each problem type and number of steps.

    Parameters
    ----------
    problems : list of Problem
    forward_share : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    list of str
        ``forward`` or ``backward``, in the order of `problems`.
    """
    cells: dict[tuple, list[int]] = {}
    for number, problem in enumerate(problems):
        cells.setdefault((problem.problem_type, problem.n_steps), []).append(number)
    strategies = ["backward"] * len(problems)
    rng = random.Random(f"strategies/{seed}")
    for cell in sorted(cells):
        for number in rng.sample(cells[cell], round(forward_share * len(cells[cell]))):
            strategies[number] = "forward"
    return strategies


def write_demonstrations(config: DemonstrationsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Answer every problem of ``problems``."""
    table = pd.read_parquet(inputs["problems"] / "problems.parquet")
    problems = read_problems(table)
    strategies = assign_strategies(problems, config.forward_share, config.seed)
    field = field_of(config.task)
    # The leading space keeps prompt and completion apart when a trainer joins them.
    completions = [" " + respond(field, p, s) for p, s in zip(problems, strategies, strict=True)]
    table = table.assign(strategy=strategies, completion=completions)
    table.to_parquet(folder / "demonstrations.parquet", index=False)


if __name__ == "__main__":
    run_stage(DemonstrationsStage, write_demonstrations)
