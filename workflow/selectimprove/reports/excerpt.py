"""Generations for people: each with its problem and with its steps marked; and those that the audit's page shows.

A model answers far more problems than a page can hold. Of every model, at its last checkpoint, so many are drawn of each problem type,
number of steps and outcome, so that rare kinds are seen beside frequent ones; how frequent each is, the figures tell.
"""

import random
from collections import Counter
from dataclasses import dataclass

import pandas as pd
import pyarrow.parquet as pq

from selectimprove.dag.artifact import Artifact
from selectimprove.tasks.interface import load_task

PER_KIND = 3
"""Generations shown of each model, problem type, number of steps (of parts, for compositions) and outcome."""

COLUMNS = (
    "model",
    "type",
    "problems",
    "steps",
    "strategy",
    "outcome",
    "prompt",
    "answer",
    "parts",
    "error",
    "artifact",
    "where",
)

SIGNS = {"right": "✓", "wrong result": "✗ result", "wrong step": "✗ step"}
"""The sign of a step, by the judgement of its `StepMark`."""


@dataclass(frozen=True)
class Excerpt:
    """Generations to show, and how many there are.

    Parameters
    ----------
    rows : list of list
        One per generation, its values in the order of `COLUMNS`. ``parts`` is the response as `mark_response` divides it.
    n_last : int
        Generations of these models at their last checkpoints.
    n_all : int
        At all checkpoints.
    """

    rows: list[list]
    n_last: int
    n_all: int


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


def read_generations(labels: Artifact, rl_step: int | None = None, table: str = "generations") -> pd.DataFrame:
    """Read a model's generations at a checkpoint, the last by default, each with its problem.

    Parameters
    ----------
    labels : Artifact
    rl_step : int, optional
    table : {'generations', 'interventions'}

    Returns
    -------
    pandas.DataFrame
        The labels' rows, what the model answered as ``answered``, with the other columns of the problems; none if it kept no such checkpoint.
    """
    rows = pd.read_parquet(labels.folder / f"{table}.parquet").rename(columns={"answer": "answered"})
    rows = rows[rows["rl_step"] == (rows["rl_step"].max() if rl_step is None else rl_step)]
    asked = []
    for name in sorted(rows["problem_set"].unique()):
        path = labels.inputs[name].folder / "problems.parquet"
        # Labels hold the type and the difficulty already.
        columns = [column for column in pq.read_schema(path).names if column not in rows or column == "problem_id"]
        asked.append(pd.read_parquet(path, columns=columns).assign(problem_set=name))
    if not asked:
        return rows
    return rows.merge(pd.concat(asked), on=["problem_set", "problem_id"], how="left", validate="many_to_one")


def mark_response(task: str, row) -> list[tuple[str, str]]:
    """Divide a labeled response into its steps and what is before and after them.

    Parameters
    ----------
    task : str
    row : named tuple
        A row of `read_generations`.

    Returns
    -------
    list of (str, str)
        Words, and the sign of a step, one of `SIGNS`; an empty one beside words that are no step.
    """
    words = row.completion.split()
    head, marks = load_task(task).mark_steps(row)
    parts, at = [(" ".join(words[:head]), "")], head
    for n_words, judgement in marks:
        parts.append((" ".join(words[at : at + n_words]), SIGNS[judgement]))
        at += n_words
    parts.append((" ".join(words[at:]), ""))
    return [(text, sign) for text, sign in parts if text]


def locate(row) -> str:
    """Say which generation a row is, for `labels` and `evaluation` alike."""
    return f"problem {row.problem_id} of {row.problem_set}, sample {row.sample}, RL step {row.rl_step}"


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
        answer_text = load_task(task).answer_text
        rows = read_generations(labels)
        n_last += len(rows)
        n_all += pq.read_metadata(labels.folder / "generations.parquet").num_rows
        rng = random.Random(f"excerpt/{labels.slug}")
        drawn = []
        for _, kind in sorted(rows.groupby(["problem_type", difficulty, "correct"]).indices.items()):
            drawn += kind[sorted(rng.sample(range(len(kind)), min(PER_KIND, len(kind))))].tolist()
        found += [
            [
                model,
                row.problem_type,
                row.problem_set,
                int(row.n_steps),
                row.strategy,
                "right" if row.correct else "wrong",
                row.prompt,
                answer_text(row.answer),
                mark_response(task, row),
                row.first_error,
                labels.name,
                locate(row),
            ]
            for row in rows.iloc[drawn].itertuples()
        ]
    return Excerpt(found, n_last, n_all)
