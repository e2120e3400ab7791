"""Demonstrations for SFT: a correct response to each problem, in a strategy that the task and the mix choose.

Writes ``demonstrations.parquet``: the rows of the problem set with `strategy` and `completion`.
"""

from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import DemonstrationsStage
from selectimprove.tasks.interface import load_task


def write_demonstrations(config: DemonstrationsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Answer every problem of ``problems``."""
    table = pd.read_parquet(inputs["problems"] / "problems.parquet")
    task = load_task(config.task_name)
    problems = list(map(task.from_row, table.to_dict("records")))
    responses = task.demonstrate(config.task, config.demonstrations, problems, config.seed)
    strategies, completions = zip(*responses, strict=True)
    # The leading space separates prompt and completion when a trainer joins them.
    table = table.assign(strategy=strategies, completion=[f" {completion}" for completion in completions])
    table.to_parquet(folder / "demonstrations.parquet", index=False)


if __name__ == "__main__":
    run_stage(DemonstrationsStage, write_demonstrations)
