"""A trained model as a folder that `from_pretrained` loads, and its card."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from selectimprove.analysis.style import SCALE_NOTES
from selectimprove.artifacts.provenance import read_record
from selectimprove.config.stages import OfTask, Run
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.plan import Plan
from selectimprove.reports.exporting.folders import (
    copy_checked,
    describe_lineage,
    render_card,
    summarise_task,
    write_records,
)
from selectimprove.tasks.interface import load_task

STAGES_OF_MODELS = ("base", "sft", "rl", "rft")
METHODS = {"base": "pretraining", "sft": "sft", "rl": "grpo"}
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model at one checkpoint.

    Parameters
    ----------
    artifact : Artifact
        Of a stage in `STAGES_OF_MODELS`.
    folder : Path
        Its weights.
    step : int
        Of RL, or the round of rejection sampling; 0 before.
    measures : Artifact or None
        Where its numbers stand, if it was evaluated, and which model it is there.
    run : Run or None
    """

    artifact: Artifact
    folder: Path
    step: int
    measures: Artifact | None = None
    run: Run | None = None

    @property
    def task(self) -> OfTask:
        """The config that says what it was trained to solve."""
        configs = [self.artifact.config, *(source.config for source in self.artifact.inputs.values())]
        return next(config for config in configs if isinstance(config, OfTask))

    @property
    def pretrained(self) -> Artifact | None:
        """The checkpoint of the hub that it goes back to."""
        return next((source for source in collect_ancestors([self.artifact]) if source.stage == "pretrained"), None)

    @property
    def method(self) -> str:
        """How it was trained last, as a tag of the hub."""
        artifact = self.artifact
        return artifact.config.method.replace("_", "-") if artifact.stage == "rft" else METHODS[artifact.stage]

    @property
    def is_adapter(self) -> bool:
        return (self.folder / ADAPTER).is_file()


def read_numbers(checkpoint: Checkpoint) -> pd.DataFrame:
    """Read pass@1 of a checkpoint by set of test problems and problem type, each type and ``all`` together.

    Returns
    -------
    pandas.DataFrame
        Rows of ``pass_rates.parquet``; none if the checkpoint was not measured. ``all`` is left out where there is one type.
    """
    measures, run = checkpoint.measures, checkpoint.run
    if measures is None or not measures.done.exists():
        return pd.DataFrame()
    rates = pd.read_parquet(measures.folder / "pass_rates.parquet")
    settings = load_task(measures.config.task_name).Settings
    wanted = {name: str(value) for name, value in run.model_dump().items()} | {settings.difficulty: "all"}
    rates = rates[rates["rl_step"] == checkpoint.step]
    for name, value in wanted.items():
        rates = rates[rates[name] == value]
    if len(settings.problem_types) == 1:
        rates = rates[rates["problem_type"] != "all"]
    return rates.sort_values(["problem_set", "problem_type"])


def count_parameters(folder: Path) -> int:
    """Count the numbers in a checkpoint's safetensors files, of which only the headers are read."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        # https://huggingface.co/docs/safetensors: begin and end of the data in bytes, all of one type.
        for name, tensor in header.items():
            if name != "__metadata__":
                total += math.prod(tensor["shape"])
    return total


def write_model(plan: Plan, checkpoint: Checkpoint, loaded_as: str, folder: Path) -> None:
    """Write weights, tokenizer, configs, card and records of a checkpoint.

    Parameters
    ----------
    plan : Plan
    checkpoint : Checkpoint
    loaded_as : str
        The repository or the folder that the card loads the model from.
    folder : Path
    """
    # The card that PEFT leaves says nothing.
    files = sorted(path for path in checkpoint.folder.iterdir() if path.is_file() and path.name != "README.md")
    copy_checked(checkpoint.artifact, files, folder)
    if checkpoint.is_adapter and checkpoint.pretrained and checkpoint.pretrained.config.pretrained.weights != "random":
        # The folder of the base model is one of this checkout.
        hub, path = checkpoint.pretrained.config.pretrained, folder / ADAPTER
        adapter = json.loads(path.read_text(encoding="utf-8"))
        adapter |= {"base_model_name_or_path": hub.repository, "revision": hub.revision}
        path.write_text(json.dumps(adapter, indent=2) + "\n", encoding="utf-8")
    write_records(checkpoint.artifact, folder)
    (folder / "README.md").write_text(write_model_card(plan, checkpoint, loaded_as), encoding="utf-8")


def write_model_card(plan: Plan, checkpoint: Checkpoint, loaded_as: str) -> str:
    """Write a model card in the form of the hub, from the records of a checkpoint and of what it was made from."""
    artifact, task, numbers = checkpoint.artifact, checkpoint.task, read_numbers(checkpoint)
    aspect = load_task(task.task_name)
    # Any test set shows what a problem looks like.
    tested = next(iter(getattr(plan.params.tasks, task.task_name).test_problems.values()))
    problem = aspect.draw_problems(task.task, tested, len(task.task.problem_types), "test", 0)[0]
    record, hub = read_record(artifact.done), checkpoint.pretrained and checkpoint.pretrained.config.pretrained
    on_hub = hub is not None and hub.weights != "random"
    base, measures = artifact.inputs.get("base", checkpoint.pretrained), checkpoint.measures
    asked = measures.inputs[f"evaluation/{checkpoint.run.name}"].config if measures else plan.params.evaluation
    return render_card(
        "model.md.jinja",
        _metadata(checkpoint, numbers, hub.repository if on_hub else None),
        name=artifact.slug + (f", step {checkpoint.step}" if checkpoint.step else ""),
        key=f"{artifact.stage}/{artifact.name}",
        checkpoint=str(checkpoint.folder),
        task=task.task_name,
        summary=summarise_task(task.task_name),
        settings=yaml.safe_dump(task.task.model_dump(mode="json"), sort_keys=False).strip(),
        is_base=artifact.stage == "base",
        is_adapter=checkpoint.is_adapter,
        base=f"{base.stage}/{base.name}" if base else "",
        hub=hub if on_hub else None,
        from_scratch=hub is None,
        n_parameters=count_parameters(checkpoint.folder),
        loaded_as=loaded_as,
        prompt=problem.prompt,
        answer=aspect.answer_text(problem.answer),
        system_prompt=getattr(artifact.config, "system_prompt", None),
        temperature=asked.temperature,
        n_tokens=len(aspect.longest_response(task.task, problem.n_steps)),
        numbers=[row | {"n_correct": round(row["pass_at_1"] * row["n_samples"])} for row in numbers.to_dict("records")],
        confidence=(measures.config if measures else plan.params).statistics.confidence,
        measures=measures and f"{measures.stage}/{measures.name}",
        lineage=describe_lineage(artifact),
        record=record,
        scale=plan.params.scale,
        means_nothing="mean nothing" in SCALE_NOTES.get(plan.params.scale, ""),
    )


def _metadata(checkpoint: Checkpoint, numbers: pd.DataFrame, base: str | None) -> str:
    """Write the block of YAML that the hub reads: pass@1 as shares, with six digits as in the tables."""
    from huggingface_hub import EvalResult, ModelCardData

    task = checkpoint.task.task_name
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=task,
            dataset_name=f"{task}, test problems {row['problem_set']}, {row['problem_type']}",
            dataset_config=f"{row['problem_set']}, {row['problem_type']}",
            metric_type="pass@1",
            metric_value=float(f"{row['pass_at_1']:.6g}"),
            metric_args={name: float(f"{row[name]:.6g}") for name in ("ci_low", "ci_high")}
            | {name: int(row[name]) for name in ("n_problems", "n_samples")},
        )
        for row in numbers.to_dict("records")
    ]
    return ModelCardData(
        model_name=checkpoint.artifact.slug,
        library_name="peft" if checkpoint.is_adapter else "transformers",
        pipeline_tag="text-generation",
        # Weights that began as another's are under that one's licence too.
        license=None if base and not checkpoint.is_adapter else "mit",
        base_model=base,
        tags=["arxiv:2606.13125", "synthetic", "reasoning", checkpoint.method, task],
        eval_results=results or None,
    ).to_yaml()
