"""Generations with their problems and marked steps, and the excerpt of them on the page of the audit.

The page cannot hold all answers. The excerpt has a few answers of each model at its last checkpoint for every problem
type, number of steps and outcome, so rare kinds appear beside frequent ones.
"""

import random
from collections import Counter
from typing import NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from selectimprove.dag.artifact import Artifact
from selectimprove.tasks.interface import load_task

PER_KIND = 3
"""Generations shown per model, problem type, number of steps (of parts, for compositions) and outcome."""
COLUMNS = ["model", "type", "problems", "steps", "strategy", "outcome", "prompt", "answer", "parts", "error"]
COLUMNS += ["artifact", "where"]
SIGNS = {"right": "✓", "wrong result": "✗ result", "wrong step": "✗ step"}
"""The sign of a step, by the judgement of its `StepMark`."""


class Excerpt(NamedTuple):
    """Generations to show: a row of `COLUMNS` each, and how many there are at the last and at all checkpoints."""

    rows: list[list]
    n_last: int
    n_all: int


def name_models(measures: list[Artifact]) -> dict[Artifact, str]:
    """Name the model of labels by its slug and, if that is not unique, by its first experiment and variant."""
    places: dict[Artifact, str] = {}
    for measured in measures:
        for run in measured.config.runs:
            variant = "" if run.variant == "default" else f" {run.variant}"
            places.setdefault(measured.inputs[f"labels/{run.name}"], f"{measured.slug}{variant}")
    slugs = Counter(labels.slug for labels in places)
    return {
        labels: f"{labels.slug} ({place})" if slugs[labels.slug] > 1 else labels.slug
        for labels, place in places.items()
    }


def read_generations(labels: Artifact, rl_step: int | None = None, table: str = "generations") -> pd.DataFrame:
    """Read a model's generations (or ``interventions``) at a checkpoint, by default the last, with their problems."""
    # Both have a column `answer`: the model's is renamed.
    rows = pd.read_parquet(labels.folder / f"{table}.parquet").rename(columns={"answer": "answered"})
    rows = rows[rows["rl_step"] == (rows["rl_step"].max() if rl_step is None else rl_step)]
    asked = []
    for name in sorted(rows["problem_set"].unique()):
        path = labels.inputs[name].folder / "problems.parquet"
        columns = [column for column in pq.read_schema(path).names if column not in rows or column == "problem_id"]
        asked.append(pd.read_parquet(path, columns=columns).assign(problem_set=name))
    if not asked:
        return rows
    return rows.merge(pd.concat(asked), on=["problem_set", "problem_id"], how="left", validate="many_to_one")


def mark_response(task: str, row) -> list[tuple[str, str]]:
    """Divide a response into steps, each with a sign of `SIGNS`, and the words around them, with an empty sign."""
    words = row.completion.split()
    at, marks = load_task(task).mark_steps(row)
    parts = [(words[:at], "")]
    for n_words, judgement in marks:
        parts.append((words[at : at + n_words], SIGNS[judgement]))
        at += n_words
    parts.append((words[at:], ""))
    return [(" ".join(part), sign) for part, sign in parts if part]


def locate(row) -> str:
    """Identify a generation within its artifacts."""
    return f"problem {row.problem_id} of {row.problem_set}, sample {row.sample}, RL step {row.rl_step}"


def draw_excerpt(models: dict[Artifact, str]) -> Excerpt:
    """Draw the generations to show; `models` maps the labels of models to names."""
    found, n_last, n_all = [], 0, 0
    for labels, model in models.items():
        name, difficulty = labels.config.task_name, labels.config.task.difficulty
        task, rows, rng = load_task(name), read_generations(labels), random.Random(f"excerpt/{labels.slug}")
        n_last += len(rows)
        n_all += pq.read_metadata(labels.folder / "generations.parquet").num_rows
        drawn = []
        for _, kind in sorted(rows.groupby(["problem_type", difficulty, "correct"]).indices.items()):
            drawn += kind[sorted(rng.sample(range(len(kind)), min(PER_KIND, len(kind))))].tolist()
        for row in rows.iloc[drawn].itertuples():
            outcome = "right" if row.correct else "wrong"
            asked = [model, row.problem_type, row.problem_set, int(row.n_steps), row.strategy, outcome, row.prompt]
            answered = [task.answer_text(row.answer), mark_response(name, row), row.first_error]
            found.append([*asked, *answered, labels.name, locate(row)])
    return Excerpt(found, n_last, n_all)
