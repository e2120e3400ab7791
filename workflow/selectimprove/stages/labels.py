"""Labeling: the strategy and the first error of every generation and every rollout of a model.

Writes the sampled rows with their problem's type and difficulty and the task's label: ``generations.parquet``,
``interventions.parquet`` if the model has any and, after RL, ``rollouts.parquet``.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import LabelsStage
from selectimprove.tasks.interface import load_task


def label_rows(config: LabelsStage, problems: list, rows: pd.DataFrame) -> pd.DataFrame:
    """Label rows with a `completion`, given the problem of each row."""
    label_one = load_task(config.task_name).label
    # A good model often gives the same response to a problem.
    label = cache(lambda problem, completion: label_one(config.task, problem, completion))
    labels = [label(problem, completion) for problem, completion in zip(problems, rows["completion"], strict=True)]
    of_problem = {name: [getattr(p, name) for p in problems] for name in ("problem_type", config.task.difficulty)}
    return pd.concat([rows.assign(**of_problem).reset_index(drop=True), pd.DataFrame(labels)], axis="columns")


def label_strategies(config: LabelsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Label the generations of ``evaluation``, and the rollouts of ``rl`` on the problems ``rollouts``."""
    from_row = load_task(config.task_name).from_row
    problems = {
        role: list(map(from_row, pd.read_parquet(path / "problems.parquet").to_dict("records")))
        for role, path in inputs.items()
        if role not in ("evaluation", "rl")
    }
    for role, table in (("evaluation", "generations"), ("evaluation", "interventions"), ("rl", "rollouts")):
        if role in inputs and (inputs[role] / f"{table}.parquet").exists():
            rows = pd.read_parquet(inputs[role] / f"{table}.parquet")
            sets = ["rollouts"] * len(rows) if role == "rl" else rows["problem_set"]
            asked = [problems[name][number] for name, number in zip(sets, rows["problem_id"], strict=True)]
            label_rows(config, asked, rows).to_parquet(folder / f"{table}.parquet", index=False)


if __name__ == "__main__":
    run_stage(LabelsStage, label_strategies)
