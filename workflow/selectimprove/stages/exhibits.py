"""Figures and tables, each drawn by its notebook.

papermill runs ``workflow/notebooks/<name>.ipynb``, or the one that the figure or table names, on the measures of the experiment and keeps the
executed copy. The notebook writes a figure as PDF, SVG and PNG with the data that it plots, or a table as CSV, as Markdown and as metrics.
"""

import json
import os
import tempfile
from pathlib import Path

import pandas as pd
import papermill

from selectimprove.analysis.style import SCALE_NOTES
from selectimprove.artifacts.runner import run_stage
from selectimprove.config.resolving import NOTEBOOKS
from selectimprove.config.stages import ExhibitsStage
from selectimprove.types import ParamsError


def describe_sample(config: ExhibitsStage, inputs: dict[str, Path], folder: Path) -> str:
    """Say at which scale, for which seeds and on how many problems per value it was made."""
    runs = json.loads((inputs["measures"] / "config.json").read_text())["runs"]
    seeds = sorted({run["seed"] for run in runs})
    note = SCALE_NOTES.get(config.scale, f"{config.scale} scale")
    said = [note[0].upper() + note[1:], f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"]
    data = pd.read_csv(folder / f"{config.name}.csv")
    if "n_problems" in data:
        n = data["n_problems"].dropna().astype(int)
        said.append(
            f"{n.min()} problems per value" if n.min() == n.max() else f"{n.min()}–{n.max()} problems per value"
        )
    return "; ".join(said) + "."


def draw_exhibit(config: ExhibitsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Run the notebook of the figure or table ``config.name``."""
    # Fixed time stamps and identifiers make figures bit-equal from run to run.
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    os.environ["PYTHONHASHSEED"] = "0"
    # A user's start-up files of IPython have no say.
    os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
    try:
        papermill.execute_notebook(
            NOTEBOOKS / f"{config.notebook}.ipynb",
            folder / "notebook.ipynb",
            parameters={
                "measures": str(inputs["measures"].resolve()),
                "folder": str(folder.resolve()),
                "name": config.name,
                "scale": config.scale,
                "plot": config.plot,
            },
            kernel_name="python3",
            progress_bar=False,
        )
    except papermill.PapermillExecutionError as error:
        raise ParamsError(f"{config.notebook}.ipynb, cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    # Snakemake's report reads captions in this format; a sentence is the same in both.
    caption = f"{config.caption} {describe_sample(config, inputs, folder)}"
    (folder / "caption.rst").write_text(caption + "\n")
    body = folder / "body.md"
    table = f"\n{body.read_text()}" if body.exists() else ""
    (folder / f"{config.name}.md").write_text(f"{caption}\n{table}")


if __name__ == "__main__":
    run_stage(ExhibitsStage, draw_exhibit)
