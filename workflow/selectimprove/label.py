"""Labeling: what every generation and every rollout of a model did.

Writes ``generations.parquet`` and, for a model trained by RL, ``rollouts.parquet``: the rows that were sampled, each with its
problem's type and number of steps and with the fields of `selectimprove.labeling.Label`.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from selectimprove.config import LabelStage
from selectimprove.datasets import field_of, read_problems
from selectimprove.field import FiniteField
from selectimprove.labeling import label_generation
from selectimprove.problems import Problem
from selectimprove.stage import run_stage


def label_rows(field: FiniteField, problems: list[Problem], rows: pd.DataFrame) -> pd.DataFrame:
    """Label rows with a `completion` each.

    Parameters
    ----------
    field : FiniteField
    problems : list of Problem
        The problem of each row.
    rows : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        The rows, with `problem_type`, `n_steps` and the fields of `Label`.
    """
    # The better a model, the more of its responses to a problem are the same.
    label = cache(lambda problem, completion: vars(label_generation(field, problem, completion)))
    labels = [label(problem, completion) for problem, completion in zip(problems, rows["completion"], strict=True)]
    rows = rows.assign(
        problem_type=[problem.problem_type for problem in problems], n_steps=[problem.n_steps for problem in problems]
    )
    return pd.concat([rows.reset_index(drop=True), pd.DataFrame(labels)], axis="columns")


def label_model(config: LabelStage, inputs: dict[str, Path], folder: Path) -> None:
    """Label the generations of ``evaluation``, and the rollouts of ``rl`` on its problems ``rollouts``."""
    field = field_of(config.task)
    problems = {
        role: read_problems(pd.read_parquet(path / "problems.parquet"))
        for role, path in inputs.items()
        if role not in ("evaluation", "rl")
    }
    generations = pd.read_parquet(inputs["evaluation"] / "generations.parquet")
    asked = [
        problems[problem_set][problem_id]
        for problem_set, problem_id in zip(generations["problem_set"], generations["problem_id"], strict=True)
    ]
    label_rows(field, asked, generations).to_parquet(folder / "generations.parquet", index=False)
    if "rl" in inputs:
        rollouts = pd.read_parquet(inputs["rl"] / "rollouts.parquet")
        asked = [problems["rollouts"][problem_id] for problem_id in rollouts["problem_id"]]
        label_rows(field, asked, rollouts).to_parquet(folder / "rollouts.parquet", index=False)


if __name__ == "__main__":
    run_stage(LabelStage, label_model)
