"""What this workflow adds to what it is built on: `make bench`.

Each row sets something of ours against the least that it could cost, run in turn in pairs, so that whatever else the machine does
weighs on both: the ratio is what to look at. Writes ``results/benchmarks/workflow-<machine>.csv``. What needs trained models is measured
where they have been made.
"""

import contextlib
import heapq
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import nbformat
import pandas as pd
import papermill
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from selectimprove.config.loading import load_params
from selectimprove.config.params import Params
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.costs import Estimate, read_costs
from selectimprove.dag.plan import Plan
from selectimprove.reports.benchmarks.hardware import machine_name
from selectimprove.stages.exhibits import draw_exhibit
from selectimprove.stages.rl import train_grpo
from selectimprove.tasks.interface import load_aspect
from selectimprove.training.policies import load_model, load_tokenizer, max_new_tokens, render_prompts
from selectimprove.training.sampling import rollout_arguments
from selectimprove.training.trainer import prepare_torch

PAIRS = 3
STEPS = 8
"""GRPO steps of each run that is timed."""


def seconds(run: Callable[[], object]) -> float:
    """Time a call, without what it prints."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        run()
    return time.perf_counter() - start


def compare(what: str, ours: Callable[[], object], base: str, least: Callable[[], object], scale: float = 1.0) -> dict:
    """Run two things in turn, and return a row with their times and ratio.

    Parameters
    ----------
    what, base : str
        What is measured, and against what.
    ours, least : callable
    scale : float
        How much more `ours` does; ratios are divided by it.
    """
    pairs = [(seconds(ours), seconds(least)) for _ in range(PAIRS)]
    ratios = [mine / other / scale for mine, other in pairs]
    mine, other = (median(times) for times in zip(*pairs, strict=True))
    return {
        "what": what,
        "against": base,
        "ratio": median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "seconds": mine,
        "seconds_against": other,
    }


def run(*command: str) -> Callable[[], object]:
    """Return a call that runs a command."""
    return lambda: subprocess.run(command, check=True, capture_output=True)


def python(code: str) -> Callable[[], object]:
    """Return a call that runs Python code in a process of its own."""
    return run(sys.executable, "-c", code)


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
        compare(f"importing the stage {stage}", python(f"import selectimprove.stages.{stage}"), f"importing {least}", python(f"import {least}"))
        for stage, least in (("rl", "torch, trl"), ("evaluation", "torch, transformers"), ("labels", "pandas"))
    ]  # fmt: skip
    rows.append(compare("a plan of ten times the experiments", name_all(many), "a plan, ten times", name_all(once), 10))
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    dry = (snakemake, "--dry-run", "--quiet", "all", "figures")
    rows.append(compare("planning all figures", run(*dry), "snakemake --version", run(snakemake, "--version")))
    return rows


def measure_drawing(exhibit: Artifact) -> dict:
    """Measure what drawing a figure takes, against a notebook that does nothing."""
    inputs = {role: artifact.folder.resolve() for role, artifact in exhibit.inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder, "empty.ipynb")
        content = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python"}})
        nbformat.write(content, notebook)
        return compare(
            f"drawing {exhibit.slug}",
            lambda: draw_exhibit(exhibit.config, inputs, Path(folder)),
            "an empty notebook",
            lambda: papermill.execute_notebook(notebook, None, kernel_name="python3", progress_bar=False),
        )


def measure_labels(evaluation: Artifact) -> dict:
    """Measure whether labeling grows with the number of generations alone."""
    rows = pd.read_parquet(evaluation.folder / "generations.parquet")
    problem_set = rows["problem_set"].iloc[0]
    rows = rows[rows["problem_set"] == problem_set].head(1000)
    task = load_aspect(evaluation.config.task_name, "labels")
    from_row = load_aspect(evaluation.config.task_name, "problems").from_row
    records = pd.read_parquet(evaluation.inputs[problem_set].folder / "problems.parquet").to_dict("records")
    problems = list(map(from_row, records))
    asked = [(problems[number], text) for number, text in zip(rows["problem_id"], rows["completion"], strict=True)]

    def label(times: int) -> Callable[[], object]:
        return lambda: [task.label(evaluation.config.task, p, text) for _ in range(times) for p, text in asked]

    return compare(
        f"labeling {100 * len(asked)} generations", label(100), f"{len(asked)}, a hundred times", label(1), 100
    )


def measure_grpo(policy: Artifact) -> dict:
    """Measure a run of GRPO as the stage does it against TRL's own trainer: same model, problems, batch and engine."""
    inputs = {role: artifact.folder.resolve() for role, artifact in policy.inputs.items()}
    rl = policy.config.rl.model_copy(update={"n_steps": STEPS, "checkpoint_every": STEPS})
    config = policy.config.model_copy(update={"rl": rl})

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train_grpo(config, inputs, Path(folder))

    def stock() -> None:
        prepare_torch(config.seed)
        tokenizer = load_tokenizer(inputs["sft"] / "model")
        problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
        task = load_aspect(config.task_name, "problems")
        longest = max_new_tokens(tokenizer, task.longest_response(config.task, int(problems["n_steps"].max())))
        prompts = render_prompts(tokenizer, problems["prompt"], config.system_prompt)
        batch = rl.prompts_per_step * rl.group_size
        with tempfile.TemporaryDirectory() as folder:
            arguments = GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=batch,
                generation_batch_size=batch,
                num_generations=rl.group_size,
                max_steps=STEPS,
                beta=rl.beta,
                learning_rate=rl.learning_rate,
                use_cpu=not torch.cuda.is_available(),
                bf16=torch.cuda.is_available(),
                gradient_checkpointing=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **rollout_arguments(config.sampling, rl.temperature, longest),
            )
            trainer = GRPOTrainer(
                model=load_model(inputs["sft"] / "model", trainable=True),
                reward_funcs=lambda completions, answer, **_: list(map(task.reward, completions, answer)),
                args=arguments,
                train_dataset=Dataset.from_pandas(problems[["answer"]].assign(prompt=prompts)),
                processing_class=tokenizer,
            )
            trainer.train()

    return compare(f"{STEPS} steps of GRPO", ours, "TRL's GRPOTrainer", stock)


def schedule(artifacts: dict[Artifact, float], cores: int) -> tuple[float, float]:
    """Schedule jobs of one core as they become ready, the plan's first experiments first.

    Parameters
    ----------
    artifacts : dict of Artifact to float
        Seconds of each, in the order in which they are preferred.
    cores : int

    Returns
    -------
    end, idle : float
        Seconds until all are made, and the share of the cores' time in which they have nothing to do.
    """
    place = {artifact: number for number, artifact in enumerate(artifacts)}
    waiting = {
        artifact: {source for source in artifact.inputs.values() if source in artifacts} for artifact in artifacts
    }
    ready = sorted(place[artifact] for artifact, sources in waiting.items() if not sources)
    running: list[tuple[float, int]] = []
    order, now = list(artifacts), 0.0
    while ready or running:
        while ready and len(running) < cores:
            number = heapq.heappop(ready)
            heapq.heappush(running, (now + artifacts[order[number]], number))
        now, finished = heapq.heappop(running)
        for artifact, sources in waiting.items():
            if order[finished] in sources:
                sources.remove(order[finished])
                if not sources:
                    heapq.heappush(ready, place[artifact])
    return now, 1 - sum(artifacts.values()) / (now * cores)


def measure_schedules(plan: Plan) -> list[dict]:
    """Foretell a cold run on 1, 2, 4 and 8 cores from recorded times, and when Table 1 is there; against its longest chain."""
    estimate = Estimate(plan.params.scale, read_costs())
    rows = []
    for what, ends in (("all figures", plan.exhibits.values()), ("the main experiment", [plan.measures["main"]])):
        wanted = sorted(collect_ancestors(ends), key=lambda artifact: plan.ranks[artifact])
        times = {artifact: estimate.seconds(artifact) or 0.0 for artifact in wanted}
        chain, _ = schedule(times, len(times))
        for cores in (1, 2, 4, 8):
            end, idle = schedule(times, cores)
            row = {"what": f"{what} on {cores} cores, {idle:.0%} idle", "against": "the longest chain"}
            rows.append(row | {"ratio": end / chain, "seconds": end, "seconds_against": chain})
    return rows


def benchmark() -> pd.DataFrame:
    """Measure everything that can be measured here."""
    plan = Plan(load_params(Path("params.yaml")))
    rows = [*measure_schedules(plan), *measure_starts()]
    for measure, artifacts in (
        (measure_drawing, plan.figures.values()),
        (measure_labels, plan.artifacts["evaluation"].values()),
        (measure_grpo, plan.artifacts["rl"].values()),
    ):
        made = (a for a in artifacts if all(s.done.exists() for s in (a, *a.inputs.values())))
        if artifact := next(made, None):
            rows.append(measure(artifact))
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
