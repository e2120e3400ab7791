"""What this workflow adds to what it is built on: `make bench`.

Each row sets something of ours against the least that it could cost, run in turn in pairs, so that whatever else the machine does
weighs on both: the ratio is what to look at. Writes ``results/benchmarks/workflow-<machine>.csv``. What needs trained models is measured
where they have been made.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import papermill

from selectimprove.config.loading import load_params
from selectimprove.config.params import Params
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.plan import Plan
from selectimprove.reports.benchmarks.grpo import inputs_of, measure_growth, measure_grpo
from selectimprove.reports.benchmarks.hardware import machine_name
from selectimprove.reports.benchmarks.pairs import compare, python, run
from selectimprove.reports.benchmarks.schedules import measure_schedules
from selectimprove.stages.exhibits import draw_exhibit
from selectimprove.tasks.interface import load_task

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
DRY_RUN = (SNAKEMAKE, "figures", "--dry-run", "--quiet", "all")


def measure_starts() -> list[dict]:
    """Measure what starting takes: of stages, of Snakemake, and of a plan ten times as large."""
    params = load_params(Path("params.yaml"))
    # Of seeds of their own, so that no two share a model.
    copies = {
        f"{name}_{i}": experiment.model_copy(update={"seeds": [1000 * i + s for s in experiment.seeds or params.seeds]})
        for name, experiment in params.experiments.items()
        for i in range(10)
    }
    many = params.model_copy(update={"experiments": copies, "figures": {}, "tables": {}})
    once = params.model_copy(update={"figures": {}, "tables": {}})

    def name_all(of: Params) -> Callable[[], object]:
        return lambda: [artifact.name for stage in Plan(of).artifacts.values() for artifact in stage.values()]

    rows = [
        compare(f"importing the stage {stage}", python(f"import selectimprove.stages.{stage}"), least, python(least))
        for stage, least in (
            ("rl", "from trl import GRPOConfig, GRPOTrainer"),
            ("evaluation", "from transformers import AutoModelForCausalLM, AutoTokenizer"),
            ("labels", "import pandas"),
        )
    ]
    rows.append(compare("a plan of ten times the experiments", name_all(many), "a plan, ten times", name_all(once), 10))
    rows.append(compare("planning all figures", run(*DRY_RUN), "snakemake --version", run(SNAKEMAKE, "--version")))
    return rows


def measure_drawing(exhibit: Artifact) -> list[dict]:
    """Measure what drawing a figure takes, against a notebook that does nothing, and a call that has nothing to draw."""
    inputs = inputs_of(exhibit)
    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder, "empty.ipynb")
        content = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python"}})
        nbformat.write(content, notebook)
        drawing = compare(
            f"drawing {exhibit.slug}",
            lambda: draw_exhibit(exhibit.config, inputs, Path(folder)),
            "an empty notebook",
            lambda: papermill.execute_notebook(notebook, None, kernel_name="python3", progress_bar=False),
        )
    again = run(SNAKEMAKE, "--cores", "1", exhibit.slug)
    again()
    least = run(SNAKEMAKE, "--version")
    return [drawing, compare(f"a call for {exhibit.slug}, which is there", again, "snakemake --version", least)]


def measure_labels(evaluation: Artifact) -> list[dict]:
    """Measure whether labeling grows with the number of generations alone."""
    rows = pd.read_parquet(evaluation.folder / "generations.parquet")
    problem_set = rows["problem_set"].iloc[0]
    rows = rows[rows["problem_set"] == problem_set].head(1000)
    task = load_task(evaluation.config.task_name)
    from_row = load_task(evaluation.config.task_name).from_row
    records = pd.read_parquet(evaluation.inputs[problem_set].folder / "problems.parquet").to_dict("records")
    problems = list(map(from_row, records))
    asked = [(problems[number], text) for number, text in zip(rows["problem_id"], rows["completion"], strict=True)]

    def label(times: int) -> Callable[[], object]:
        return lambda: [task.label(evaluation.config.task, p, text) for _ in range(times) for p, text in asked]

    times = 1_000_000 // len(asked)
    what, base = f"labeling {times * len(asked)} generations", f"{len(asked)}, {times} times"
    return [compare(what, label(times), base, label(1), times)]


def benchmark() -> pd.DataFrame:
    """Measure everything that can be measured here."""
    plan = Plan(load_params(Path("params.yaml")))
    rows = [*measure_schedules(plan), *measure_starts()]
    for measure, artifacts in (
        (measure_drawing, plan.figures.values()),
        (measure_labels, plan.artifacts["evaluation"].values()),
        (measure_grpo, plan.artifacts["rl"].values()),
        (measure_growth, plan.artifacts["rl"].values()),
    ):
        made = (a for a in artifacts if all(s.done.exists() for s in (a, *a.inputs.values())))
        if artifact := next(made, None):
            rows.extend(measure(artifact))
        else:
            print(f"{measure.__name__}: not measured; run `snakemake --cores all figures` first", file=sys.stderr)
    return pd.DataFrame(rows).assign(machine=machine_name(), cores=os.cpu_count())


def main() -> None:
    """Measure, print and write the table."""
    table = benchmark()
    path = Path("results/benchmarks") / f"workflow-{re.sub(r'[^a-z0-9]+', '-', machine_name().lower())}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4g")
    print(table.drop(columns=["machine", "cores"]).to_string(index=False, float_format="{:.3g}".format))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
