"""Write models and datasets for the Hugging Face hub, with cards from the templates in ``workflow/cards``."""

import json
import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import yaml
from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData
from safetensors import safe_open

from selectimprove.analysis.style import SCALE_NOTES
from selectimprove.config.params import Params
from selectimprove.config.stages import OfTask
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.table import STAGES
from selectimprove.reports.exporting import Checkpoint, copy_checked
from selectimprove.tasks.interface import load_task

TEMPLATES = Path(__file__).parents[2] / "cards"
ADAPTER = "adapter_config.json"
METHODS = {"base": "pretraining", "sft": "sft"}
TAGS = ["arxiv:2606.13125", "synthetic", "reasoning"]
# The hub's names of our splits, and of sizes by their upper bounds.
SPLITS = {"sft_train": "train", "sft_validation": "validation", "rl": "train", "test": "test"}
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


def count_parameters(folder: Path) -> int:
    """Count the parameters in a folder's safetensors files by their headers."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "numpy") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def read_numbers(checkpoint: Checkpoint) -> list[dict]:
    """Read a checkpoint's pass@1 by test set and problem type from ``pass_rates.parquet``; none if not measured."""
    measures, run = checkpoint.measures, checkpoint.run
    if measures is None or not measures.done.exists():
        return []
    rates = pd.read_parquet(measures.folder / "pass_rates.parquet")
    settings = load_task(measures.config.task_name).Settings
    wanted = run.model_dump() | {"seed": str(run.seed), settings.difficulty: "all", "rl_step": checkpoint.step}
    rates = rates[(rates[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    # With one problem type, the row of all types is the same.
    if len(settings.problem_types) == 1:
        rates = rates[rates["problem_type"] != "all"]
    return rates.sort_values(["problem_set", "problem_type"]).to_dict("records")


def write_model(params: Params, checkpoint: Checkpoint, loaded_as: str, folder: Path) -> None:
    """Write a checkpoint with its card and records; the card's example loads it from `loaded_as`."""
    artifact, hub, measures = checkpoint.artifact, checkpoint.pretrained, checkpoint.measures
    # PEFT writes an empty card.
    files = sorted(path for path in checkpoint.folder.iterdir() if path.is_file() and path.name != "README.md")
    records, is_adapter = copy_checked(artifact, files, folder), (folder / ADAPTER).is_file()
    configs = [artifact.config, *(source.config for source in artifact.inputs.values())]
    config = next(each for each in configs if isinstance(each, OfTask))
    task, numbers = load_task(config.task_name), read_numbers(checkpoint)
    # A problem of any test set serves as the example.
    tested = next(iter(getattr(params.tasks, config.task_name).test_problems.values()))
    problem = task.draw_problems(config.task, tested, len(config.task.problem_types), "test", 0)[0]
    asked = measures.inputs[f"evaluation/{checkpoint.run.name}"].config if measures else params.evaluation
    trained = artifact.config.rl if artifact.stage == "rl" else artifact.config
    method = METHODS.get(artifact.stage) or trained.method.replace("_", "-")
    data = ModelCardData(
        model_name=artifact.slug,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        # Fine-tuned weights of another model stay under its licence.
        license=None if hub and not is_adapter else "mit",
        base_model=hub and hub.repository,
        tags=[*TAGS, method, config.task_name],
        eval_results=[_result(config.task_name, row) for row in numbers] or None,
    )
    card = ModelCard.from_template(
        data,
        str(TEMPLATES / "model.md.jinja"),
        checkpoint=checkpoint,
        is_adapter=is_adapter,
        artifact=artifact,
        config=config,
        task=task,
        problem=problem,
        numbers=numbers,
        n_parameters=count_parameters(checkpoint.folder),
        temperature=asked.temperature,
        confidence=(measures.config if measures else params).statistics.confidence,
        scale=params.scale,
        scale_note=SCALE_NOTES.get(params.scale),
        records=records,
        loaded_as=loaded_as,
        yaml=yaml.safe_dump,
    )
    card.save(folder / "README.md")
    if is_adapter and hub:
        # The adapter names its base model by a folder of this checkout.
        adapter = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        adapter |= {"base_model_name_or_path": hub.repository, "revision": hub.revision}
        (folder / ADAPTER).write_text(json.dumps(adapter, indent=2) + "\n", encoding="utf-8")


def _result(task: str, row: dict) -> EvalResult:
    """Return pass@1 on a test set as a share with six digits, as in the tables."""
    problems, shares = f"{row['problem_set']}, {row['problem_type']}", ("pass_at_1", "ci_low", "ci_high")
    value, low, high = (float(f"{row[name]:.6g}") for name in shares)
    counts = {name: int(row[name]) for name in ("n_problems", "n_samples")}
    return EvalResult(
        task_type="text-generation",
        dataset_type=task,
        dataset_name=f"{task}, test problems {problems}",
        dataset_config=problems,
        metric_type="pass@1",
        metric_value=value,
        metric_args={"ci_low": low, "ci_high": high, **counts},
    )


def write_dataset(artifact: Artifact, loaded_as: str, folder: Path) -> None:
    """Write problems or demonstrations with their card and records; the card's example loads from `loaded_as`."""
    path, config = artifact.folder / STAGES[artifact.stage].files, artifact.config
    records = copy_checked(artifact, [path], folder)
    table, owned = pd.read_parquet(path), artifact.inputs.get("problems", artifact).config.split
    data = DatasetCardData(
        pretty_name=artifact.slug,
        license="mit",
        task_categories=["text-generation"],
        size_categories=[next((name for below, name in SIZES.items() if len(table) < below), "n>1M")],
        tags=[*TAGS, config.task_name],
        configs=[{"config_name": "default", "data_files": [{"split": SPLITS[owned], "path": path.name}]}],
    )
    card = DatasetCard.from_template(
        data,
        str(TEMPLATES / "dataset.md.jinja"),
        artifact=artifact,
        config=config,
        task=load_task(config.task_name),
        table=table,
        columns=[(field.name, str(field.type), str(table[field.name].iloc[0])) for field in pq.read_schema(path)],
        parts=[name for name in ("problem_type", "n_parts", "n_steps", "strategy") if name in table],
        owned=owned,
        split=SPLITS[owned],
        records=records,
        loaded_as=loaded_as,
        yaml=yaml.safe_dump,
    )
    card.save(folder / "README.md")
