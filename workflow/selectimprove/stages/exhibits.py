"""Figures and tables, each drawn by its notebook.

papermill runs ``workflow/notebooks/<notebook>.ipynb`` on the measures of the experiment and keeps the executed copy.
The notebook writes a figure as PDF, SVG and PNG with the plotted data, or a table as CSV, as Markdown and as metrics.
Alarms of the trainings that are shown follow the caption.
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
from selectimprove.config.sources import NOTEBOOKS
from selectimprove.config.stages import ExhibitsStage
from selectimprove.errors import ParamsError


def describe_sample(config: ExhibitsStage, inputs: dict[str, Path], data: pd.DataFrame) -> str:
    """Describe the scale, the seeds and the number of problems per value."""
    runs = json.loads((inputs["measures"] / "config.json").read_text())["runs"]
    seeds = sorted({run["seed"] for run in runs})
    note = SCALE_NOTES.get(config.scale, f"{config.scale} scale")
    said = f"{note[0].upper()}{note[1:]}; {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    if "n_problems" in data:
        n = data["n_problems"].dropna().astype(int)
        said += f"; {n.min()}" if n.min() == n.max() else f"; {n.min()}–{n.max()}"
        said += " problems per value"
    return f"{said}."


def describe_alarms(measures: Path, data: pd.DataFrame) -> str:
    """List the alarms of the trainings that the data show; an alarm of SFT also concerns the RL after it."""
    lines = []
    for alarm in pd.read_csv(measures / "alarms.csv", dtype={"variant": str, "sft": str}).to_dict("records"):
        of_model = ("variant", "sft") if alarm["training"] == "sft" else ("variant", "sft", "training")
        columns = [name for name in of_model if name in data]
        shown = data[columns].astype(str).eq([alarm[name] for name in columns]).all(axis="columns")
        if shown.any():
            variant = "" if alarm["variant"] == "default" else f", {alarm['variant']}"
            model = f"{alarm['sft']} after {training_name(alarm['training'])}{variant}, seed {alarm['seed']}"
            lines.append(f"- {model}: {alarm['says']}")
    return ALARMS + "\n".join(lines) if lines else ""


def draw_exhibit(config: ExhibitsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Run the notebook of the figure or table ``config.name``."""
    parameters = {
        "measures": str(inputs["measures"].resolve()),
        "folder": str(folder.resolve()),
        "name": config.name,
        "scale": config.scale,
        "plot": config.plot,
    }
    # Other inputs have a kind and a name, such as the verdicts of each seed.
    for role, path in inputs.items():
        if "/" in role:
            kind, name = role.split("/")
            parameters.setdefault(kind, {})[name] = str(path.resolve())
    # Fixed time stamps and identifiers make figures bit-identical between runs.
    os.environ |= {"SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0"}
    # Ignore kernels that are installed elsewhere under the same name, and the user's start-up files of IPython.
    os.environ["JUPYTER_PATH"] = str(Path(sys.prefix, "share", "jupyter"))
    with tempfile.TemporaryDirectory() as profile:
        os.environ["IPYTHONDIR"] = profile
        notebook = f"{config.notebook}.ipynb"
        try:
            papermill.execute_notebook(
                NOTEBOOKS / notebook, folder / "notebook.ipynb", parameters, kernel_name="python3", progress_bar=False
            )
        except papermill.PapermillExecutionError as error:
            raise ParamsError(f"{notebook}, cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    data = pd.read_csv(folder / f"{config.name}.csv")
    # Snakemake's report reads captions as Jinja templates of reStructuredText; sentences and lists are also Markdown.
    caption = f"{config.caption} {describe_sample(config, inputs, data)}{describe_alarms(inputs['measures'], data)}"
    (folder / "caption.rst").write_text(f"{{% raw %}}{caption}{{% endraw %}}\n")
    body = folder / "body.md"
    table = f"\n{body.read_text()}" if body.exists() else ""
    (folder / f"{config.name}.md").write_text(f"{caption}\n{table}")


if __name__ == "__main__":
    run_stage(ExhibitsStage, draw_exhibit)
