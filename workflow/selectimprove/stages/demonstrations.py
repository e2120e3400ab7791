"""Demonstrations: what SFT learns from, a correct response to each problem.

Writes ``demonstrations.parquet``: the rows of the problem set with `strategy` and `completion`. Which strategy a problem is
answered in is up to the task and the mix.
"""

from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import DemonstrationsStage
from selectimprove.tasks.interface import load_task


def write_demonstrations(config: DemonstrationsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Answer every problem of ``problems``."""
    table = pd.read_parquet(inputs["problems"] / "problems.parquet")
    problems = list(map(load_task(config.task_name).from_row, table.to_dict("records")))
    demonstrate = load_task(config.task_name).demonstrate
    responses = demonstrate(config.task, config.demonstrations, problems, config.seed)
    strategies, completions = zip(*responses, strict=True)
    # The leading space keeps prompt and completion apart when a trainer joins them.
    table = table.assign(strategy=strategies, completion=[f" {completion}" for completion in completions])
    table.to_parquet(folder / "demonstrations.parquet", index=False)


if __name__ == "__main__":
    run_stage(DemonstrationsStage, write_demonstrations)
