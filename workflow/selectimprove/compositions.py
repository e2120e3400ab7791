"""Sets of compositions: distinct ones of one split, spread evenly over numbers of parts, with their responses.

Writes ``problems.parquet`` and, with the same rows, ``demonstrations.parquet`` with the correct response as `completion`. `n_steps` counts
the opening of each part as a step, so that it bounds the length of a response as it does for other problems.
"""

from pathlib import Path

import pandas as pd

from selectimprove.composition import Composition, draw_compositions, respond_to_parts
from selectimprove.config import CompositionsStage
from selectimprove.datasets import field_of
from selectimprove.problems import Problem
from selectimprove.stage import run_stage


def composition_rows(compositions: list[Composition]) -> pd.DataFrame:
    """Tabulate compositions, one a row; operations and operands of all parts follow one another."""
    rows = [
        {
            "problem_id": number,
            "problem_types": [part.problem_type for part in composition.parts],
            "part_steps": [part.n_steps for part in composition.parts],
            "operations": [operation for part in composition.parts for operation in part.operations],
            "operands": [operand for part in composition.parts for operand in part.operands],
            "starts": [part.start for part in composition.parts],
            "ends": [part.end for part in composition.parts],
            "first_labels": [part.first_label for part in composition.parts],
            "ring_size": composition.parts[0].ring_size,
            "n_parts": composition.n_parts,
            "n_steps": composition.n_steps,
            "prompt": composition.prompt,
            "answer": composition.answer,
        }
        for number, composition in enumerate(compositions)
    ]
    return pd.DataFrame(rows)


def read_compositions(table: pd.DataFrame) -> list[Composition]:
    """Undo `composition_rows`."""
    compositions = []
    for row in table.itertuples():
        parts, first = [], 0
        for number, problem_type in enumerate(row.problem_types):
            steps = slice(first, first + row.part_steps[number])
            parts.append(
                Problem(
                    str(problem_type),
                    tuple(row.operations[steps]),
                    tuple(map(int, row.operands[steps])),
                    int(row.starts[number]),
                    int(row.ends[number]),
                    int(row.first_labels[number]),
                    int(row.ring_size),
                )
            )
            first = steps.stop
        compositions.append(Composition(tuple(parts)))
    return compositions


def generate_compositions(config: CompositionsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write ``problems.parquet`` and ``demonstrations.parquet``."""
    task, field = config.task, field_of(config.task)
    compositions = draw_compositions(
        field,
        config.n_problems,
        config.parts,
        config.part_steps,
        config.split,
        task.split_shares,
        task.ring_size,
        config.seed,
    )
    table = composition_rows(compositions)
    table.to_parquet(folder / "problems.parquet", index=False)
    # The leading space keeps prompt and completion apart when a trainer joins them.
    completions = [f" {respond_to_parts(field, composition)}" for composition in compositions]
    table.assign(completion=completions).to_parquet(folder / "demonstrations.parquet", index=False)


if __name__ == "__main__":
    run_stage(CompositionsStage, generate_compositions)
