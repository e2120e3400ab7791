"""Figures and tables, each drawn by its notebook.

papermill runs ``workflow/notebooks/<name>.ipynb``, or the one that the figure or table names, on the measures of the experiment and keeps the
executed copy. The notebook writes a figure as PDF, SVG and PNG with the data that it plots, or a table as CSV, as Markdown and as metrics. Below the
caption stand the alarms of the trainings that it shows.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import pandas as pd
import papermill

from selectimprove.analysis.style import ALARMS, SCALE_NOTES, training_name
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


def describe_alarms(measures: Path, data: pd.DataFrame) -> str:
    """Say which of the trainings that the data of a figure or table show went wrong; alarms of SFT are for the RL after it too."""
    lines = []
    for alarm in pd.read_csv(measures / "alarms.csv", dtype={"variant": str, "sft": str}).to_dict("records"):
        of_model = ("variant", "sft") if alarm["training"] == "sft" else ("variant", "sft", "training")
        told_apart = [name for name in of_model if name in data]
        shown = data[told_apart].astype(str).eq([alarm[name] for name in told_apart]).all(axis="columns")
        if shown.any():
            variant = "" if alarm["variant"] == "default" else f", {alarm['variant']}"
            model = f"{alarm['sft']} after {training_name(alarm['training'])}{variant}, seed {alarm['seed']}"
            lines.append(f"- {model}: {alarm['says']}")
    return ALARMS + "\n".join(lines) if lines else ""


def other_inputs(inputs: dict[str, Path]) -> dict[str, dict[str, str]]:
    """Return the folders besides the measures, as a notebook takes them: by kind and name, such as ``verdicts`` by seed."""
    found: dict[str, dict[str, str]] = {}
    for role, folder in inputs.items():
        if "/" in role:
            kind, name = role.split("/")
            found.setdefault(kind, {})[name] = str(folder.resolve())
    return found


def draw_exhibit(config: ExhibitsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Run the notebook of the figure or table ``config.name``."""
    # Fixed time stamps and identifiers make figures bit-equal from run to run.
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    os.environ["PYTHONHASHSEED"] = "0"
    parameters = {
        "measures": str(inputs["measures"].resolve()),
        "folder": str(folder.resolve()),
        "name": config.name,
        "scale": config.scale,
        "plot": config.plot,
        **other_inputs(inputs),
    }
    # A user's start-up files of IPython have no say, nor have kernels that are installed elsewhere under the name of this Python's.
    os.environ["JUPYTER_PATH"] = str(Path(sys.prefix, "share", "jupyter"))
    with tempfile.TemporaryDirectory() as profile:
        os.environ["IPYTHONDIR"] = profile
        try:
            papermill.execute_notebook(
                NOTEBOOKS / f"{config.notebook}.ipynb",
                folder / "notebook.ipynb",
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
            )
        except papermill.PapermillExecutionError as error:
            where = f"{config.notebook}.ipynb, cell {error.exec_count}"
            raise ParamsError(f"{where}: {error.ename}: {error.evalue}") from error
    # Snakemake's report reads captions in this format; a sentence and a list are the same in both.
    alarms = describe_alarms(inputs["measures"], pd.read_csv(folder / f"{config.name}.csv"))
    caption = f"{config.caption} {describe_sample(config, inputs, folder)}{alarms}"
    (folder / "caption.rst").write_text(caption + "\n")
    body = folder / "body.md"
    table = f"\n{body.read_text()}" if body.exists() else ""
    (folder / f"{config.name}.md").write_text(f"{caption}\n{table}")


if __name__ == "__main__":
    run_stage(ExhibitsStage, draw_exhibit)
