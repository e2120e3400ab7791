"""Problem sets: distinct problems of one split, drawn by the task.

Writes ``problems.parquet``, which `datasets.load_dataset("parquet", …)` reads: each problem as text and as its parts.
"""

from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import ProblemsStage
from selectimprove.errors import ParamsError
from selectimprove.tasks.interface import load_task


def generate_problems(config: ProblemsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Draw the problems and number them."""
    task = load_task(config.task_name)
    try:
        problems = task.draw_problems(config.task, config.problems, config.n_problems, config.split, config.seed)
    except ValueError as error:
        raise ParamsError(str(error)) from error
    rows = [{"problem_id": number, **task.to_row(problem)} for number, problem in enumerate(problems)]
    pd.DataFrame(rows).to_parquet(folder / "problems.parquet", index=False)


if __name__ == "__main__":
    run_stage(ProblemsStage, generate_problems)
