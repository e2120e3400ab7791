"""Problem sets: distinct problems of one split, balanced over types and numbers of steps.

Writes ``problems.parquet``, which `datasets.load_dataset("parquet", …)` reads. A row holds the problem, as text and as its parts.
"""

from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from selectimprove.config import ParamsError, ProblemsStage, Task
from selectimprove.field import FiniteField
from selectimprove.problems import Problem, draw_problems
from selectimprove.stage import run_stage


def field_of(task: Task) -> FiniteField:
    return FiniteField(task.field_order, task.relabel_seed)


def problem_rows(problems: list[Problem]) -> pd.DataFrame:
    """Tabulate problems, one a row, with an identifier, the prompt and the answer."""
    rows = [
        {"problem_id": number, **asdict(p), "n_steps": p.n_steps, "prompt": p.prompt, "answer": p.answer}
        for number, p in enumerate(problems)
    ]
    return pd.DataFrame(rows)


def read_problems(table: pd.DataFrame) -> list[Problem]:
    """Undo `problem_rows`."""
    names = [field.name for field in fields(Problem)]
    rows = table[names].to_dict("records")
    return [
        Problem(**row | {"operations": tuple(row["operations"]), "operands": tuple(map(int, row["operands"]))})
        for row in rows
    ]


def generate_problems(config: ProblemsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write ``problems.parquet``."""
    task = config.task
    try:
        problems = draw_problems(
            field_of(task),
            config.n_problems,
            config.steps,
            config.evaluation_share,
            config.split,
            task.split_shares,
            task.ring_size,
            config.seed,
        )
    except ValueError as error:
        raise ParamsError(str(error)) from error
    problem_rows(problems).to_parquet(folder / "problems.parquet", index=False)


if __name__ == "__main__":
    run_stage(ProblemsStage, generate_problems)
