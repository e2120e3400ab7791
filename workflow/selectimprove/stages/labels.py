"""Labeling: what every generation and every rollout of a model did.

Writes ``generations.parquet``, ``interventions.parquet`` where there are some and, for a model trained by RL, ``rollouts.parquet``: the rows
that were sampled, each with its problem's type and difficulty, and with what the task's labeler says of it.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import LabelsStage
from selectimprove.tasks.interface import load_task


def label_rows(config: LabelsStage, problems: list, rows: pd.DataFrame) -> pd.DataFrame:
    """Label rows with a `completion` each.

    Parameters
    ----------
    config : LabelsStage
    problems : list
        The problem of each row.
    rows : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        The rows, with `problem_type`, the task's difficulty, and the label.
    """
    label_one = load_task(config.task_name).label
    # The better a model, the more of its responses to a problem are the same.
    label = cache(lambda problem, completion: label_one(config.task, problem, completion))
    labels = [label(problem, completion) for problem, completion in zip(problems, rows["completion"], strict=True)]
    of_problem = {name: [getattr(p, name) for p in problems] for name in ("problem_type", config.task.difficulty)}
    return pd.concat([rows.assign(**of_problem).reset_index(drop=True), pd.DataFrame(labels)], axis="columns")


def label_strategies(config: LabelsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Label the generations of ``evaluation``, and the rollouts of ``rl`` on its problems ``rollouts``."""
    from_row = load_task(config.task_name).from_row
    problems = {
        role: list(map(from_row, pd.read_parquet(path / "problems.parquet").to_dict("records")))
        for role, path in inputs.items()
        if role not in ("evaluation", "rl")
    }
    for table in ("generations.parquet", "interventions.parquet"):
        if (inputs["evaluation"] / table).exists():
            rows = pd.read_parquet(inputs["evaluation"] / table)
            asked = [
                problems[name][number] for name, number in zip(rows["problem_set"], rows["problem_id"], strict=True)
            ]
            label_rows(config, asked, rows).to_parquet(folder / table, index=False)
    if "rl" in inputs:
        rollouts = pd.read_parquet(inputs["rl"] / "rollouts.parquet")
        asked = [problems["rollouts"][problem_id] for problem_id in rollouts["problem_id"]]
        label_rows(config, asked, rollouts).to_parquet(folder / "rollouts.parquet", index=False)


if __name__ == "__main__":
    run_stage(LabelsStage, label_strategies)
