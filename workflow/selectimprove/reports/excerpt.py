"""The generations that the audit's page shows: a few of every kind, drawn alike each time.

A model answers far more problems than a page can hold. Of every model, at its last checkpoint, so many are drawn of each problem type,
number of steps and outcome, so that rare kinds are seen beside frequent ones; how frequent each is, the figures tell.
"""

import random
from collections import Counter
from dataclasses import dataclass

import pandas as pd
import pyarrow.parquet as pq

from selectimprove.dag.artifact import Artifact
from selectimprove.tasks.interface import load_aspect

PER_KIND = 3
"""Generations shown of each model, problem type, number of steps (of parts, for compositions) and outcome."""

COLUMNS = (
    "model",
    "type",
    "steps",
    "strategy",
    "outcome",
    "prompt",
    "answer",
    "response",
    "head",
    "marks",
    "error",
    "artifact",
    "where",
)


@dataclass(frozen=True)
class Excerpt:
    """Generations to show, and how many there are.

    Parameters
    ----------
    rows : list of list
        One a generation, its values in the order of `COLUMNS`. ``head`` is the number of words before the first step; ``marks`` has
        a letter a step: ``r`` right, ``v`` a wrong result, ``s`` not the step that the strategy takes there.
    n_last : int
        Generations of these models at their last checkpoints.
    n_all : int
        At all checkpoints.
    """

    rows: list[list]
    n_last: int
    n_all: int

    def values(self, column: str) -> list:
        """List the distinct values of a column, in order."""
        return sorted({row[COLUMNS.index(column)] for row in self.rows})


def name_models(measures: list[Artifact]) -> dict[Artifact, str]:
    """Name the labels of every measured model for people.

    Models of one slug, such as the variants of an experiment, are told apart by the experiment and variant that they came up in first.
    """
    met: dict[Artifact, str] = {}
    for measured in measures:
        for run in measured.config.runs:
            variant = "" if run.variant == "default" else f" {run.variant}"
            met.setdefault(measured.inputs[f"labels/{run.name}"], f"{measured.slug}{variant}")
    slugs = Counter(labels.slug for labels in met)
    return {
        labels: labels.slug if slugs[labels.slug] == 1 else f"{labels.slug} ({place})" for labels, place in met.items()
    }


def read_generations(labels: Artifact) -> pd.DataFrame:
    """Read a model's generations at its last checkpoint, each with its problem."""
    rows = pd.read_parquet(labels.folder / "generations.parquet")
    rows = rows[rows["rl_step"] == rows["rl_step"].max()].rename(columns={"answer": "answered"})
    folder = labels.inputs[rows["problem_set"].iloc[0]].folder
    # Labels hold the type and the difficulty already.
    columns = [
        name for name in pq.read_schema(folder / "problems.parquet").names if name not in rows or name == "problem_id"
    ]
    asked = [
        pd.read_parquet(labels.inputs[name].folder / "problems.parquet", columns=columns).assign(problem_set=name)
        for name in sorted(rows["problem_set"].unique())
    ]
    return rows.merge(pd.concat(asked), on=["problem_set", "problem_id"], how="left", validate="many_to_one")


def draw_excerpt(models: dict[Artifact, str]) -> Excerpt:
    """Draw the generations to show.

    Parameters
    ----------
    models : dict of Artifact to str
        Labels of models, and their names.
    """
    found, n_last, n_all = [], 0, 0
    for labels, model in models.items():
        task, difficulty = labels.config.task_name, labels.config.task.difficulty
        mark_steps = load_aspect(task, "labels").mark_steps
        answer_text = load_aspect(task, "problems").answer_text
        rows = read_generations(labels)
        n_last += len(rows)
        n_all += pq.read_metadata(labels.folder / "generations.parquet").num_rows
        rng = random.Random(f"excerpt/{labels.slug}")
        for _, kind in rows.groupby(["problem_type", difficulty, "correct"]):
            numbers = sorted(rng.sample(range(len(kind)), min(PER_KIND, len(kind))))
            for row in kind.iloc[numbers].itertuples():
                head, marks = mark_steps(row)
                found.append(
                    [
                        model,
                        row.problem_type,
                        int(row.n_steps),
                        row.strategy,
                        "right" if row.correct else "wrong",
                        row.prompt,
                        answer_text(row.answer),
                        row.completion.strip(),
                        head,
                        marks,
                        row.first_error,
                        labels.name,
                        f"problem {row.problem_id} of {row.problem_set}, sample {row.sample}, RL step {row.rl_step}",
                    ]
                )
    return Excerpt(found, n_last, n_all)
