"""The generations that the audit's page shows: a few of every kind, drawn alike each time.

A model answers far more problems than a page can hold. Of every model, at its last checkpoint, so many are drawn of each problem type,
number of steps and outcome, so that rare kinds are seen beside frequent ones; how frequent each is, the figures tell.
"""

import random
from collections import Counter
from dataclasses import dataclass

import pandas as pd
import pyarrow.parquet as pq

from selectimprove.plan import Artifact
from selectimprove.strategies import STRATEGIES

PER_KIND = 3
"""Generations shown of each model, problem type, number of steps (of parts, for compositions) and outcome."""

COMPOSITION = "composition"
BY_PART = "by part"
"""Problem type of compositions, and their strategy: another one may suit each part."""

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


def count_head(response: str) -> int:
    """Count the words before the first step of a response that holds one: strategy, announced guess, first value."""
    words = response.split()
    head = int(words[0] in STRATEGIES)
    return head + int(words[head] == "guess") + 1


def mark_steps(row) -> tuple[int, str]:
    """Return the head of a labeled response, and the marks of its steps."""
    pairs = list(zip(row.step_in_order, row.step_right, strict=True))
    marks = "".join("s" if not in_order else "r" if right else "v" for in_order, right in pairs)
    return count_head(row.completion) if marks else 0, marks


def mark_parts(row) -> tuple[int, str]:
    """Mark the steps of the parts of a composition that are right from the first one on; labels say no more than that."""
    return 0, "r" * sum(1 + int(n_steps) for n_steps in row.part_steps[: row.n_right])


def read_generations(labels: Artifact) -> pd.DataFrame:
    """Read a model's generations at its last checkpoint, each with its problem."""
    rows = pd.read_parquet(labels.folder / "generations.parquet")
    rows = rows[rows["rl_step"] == rows["rl_step"].max()].rename(columns={"answer": "answered"})
    composed = labels.stage == "composition_labels"
    # The others' labels hold the number of steps already.
    columns = ["problem_id", "prompt", "answer", *(["n_steps", "part_steps"] if composed else [])]
    asked = [
        pd.read_parquet(labels.inputs[name].folder / "problems.parquet", columns=columns).assign(problem_set=name)
        for name in sorted(rows["problem_set"].unique())
    ]
    rows = rows.merge(pd.concat(asked), on=["problem_set", "problem_id"], how="left", validate="many_to_one")
    return rows.assign(problem_type=COMPOSITION, strategy=BY_PART) if composed else rows


def draw_excerpt(models: dict[Artifact, str]) -> Excerpt:
    """Draw the generations to show.

    Parameters
    ----------
    models : dict of Artifact to str
        Labels of models, by stage ``labels`` or ``composition_labels``, and their names.
    """
    found, n_last, n_all = [], 0, 0
    for labels, model in models.items():
        composed = labels.stage == "composition_labels"
        rows = read_generations(labels)
        n_last += len(rows)
        n_all += pq.read_metadata(labels.folder / "generations.parquet").num_rows
        rng = random.Random(f"excerpt/{labels.slug}")
        for _, kind in rows.groupby(["problem_type", "n_parts" if composed else "n_steps", "correct"]):
            numbers = sorted(rng.sample(range(len(kind)), min(PER_KIND, len(kind))))
            for row in kind.iloc[numbers].itertuples():
                head, marks = mark_parts(row) if composed else mark_steps(row)
                found.append(
                    [
                        model,
                        row.problem_type,
                        int(row.n_steps),
                        row.strategy,
                        "right" if row.correct else "wrong",
                        row.prompt,
                        f"e{row.answer}",
                        row.completion.strip(),
                        head,
                        marks,
                        row.first_error,
                        labels.name,
                        f"problem {row.problem_id} of {row.problem_set}, sample {row.sample}, RL step {row.rl_step}",
                    ]
                )
    return Excerpt(found, n_last, n_all)
