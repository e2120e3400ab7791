"""Write models and datasets with their cards to folders, and upload them to the Hugging Face hub.

Cards are made from the templates in ``workflow/cards``.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import huggingface_hub as hub
import pandas as pd
import pyarrow.parquet as pq
import yaml
from httpx import HTTPError
from safetensors import safe_open

from selectimprove.analysis.style import SCALE_NOTES
from selectimprove.artifacts.provenance import file_hash, read_record
from selectimprove.config.params import Params
from selectimprove.config.stages import OfTask
from selectimprove.dag.artifact import Artifact, Checkpoint, collect_ancestors
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError
from selectimprove.tasks.interface import load_task

TEMPLATES = Path(__file__).parents[2] / "cards"
ADAPTER = "adapter_config.json"
METHODS = {"base": "pretraining", "sft": "sft"}
TAGS = ["arxiv:2606.13125", "synthetic", "reasoning"]
# The hub's names of our splits, and of sizes by their upper bounds.
SPLITS = {"sft_train": "train", "sft_validation": "validation", "rl": "train", "test": "test"}
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


def write_folder(target: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary folder, then rename that to the target, which may be an empty folder."""
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ParamsError(f"{target}: exists and is not empty; remove it, or choose another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            partial = Path(scratch) / target.name
            partial.mkdir()
            write(partial)
            partial.replace(target)
    except OSError as error:
        raise ParamsError(f"{target}: cannot be written: {error}") from None


def copy_checked(artifact: Artifact, files: Iterable[Path], folder: Path) -> dict[str, dict]:
    """Copy an artifact's files if they match its record; write the licence and ``provenance.json``; return it."""
    recorded = read_record(artifact.done)["files"]
    for file in files:
        if file_hash(file) != recorded.get(str(file.relative_to(artifact.folder))):
            raise ParamsError(f"{file}: differs from its record; remove {artifact.folder} and make it again")
        shutil.copyfile(file, folder / file.name)
    records = {
        f"{each.stage}/{each.name}": {
            "sources": [f"{source.stage}/{source.name}" for source in each.inputs.values()],
            "config": each.config.model_dump(mode="json"),
            "provenance": read_record(each.done) if each.done.exists() else None,
        }
        for each in sorted(collect_ancestors([artifact]), key=lambda each: list(STAGES).index(each.stage))
    }
    (folder / "provenance.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(Path(__file__).parents[3] / "LICENSE", folder / "LICENSE")
    return records


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
    artifact, started, measures = checkpoint.artifact, checkpoint.pretrained, checkpoint.measures
    # PEFT writes an empty card.
    files = sorted(path for path in checkpoint.folder.glob("[!.]*") if path.is_file() and path.name != "README.md")
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
    data = hub.ModelCardData(
        model_name=artifact.slug,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        # Fine-tuned weights of another model stay under its licence.
        license=None if started and not is_adapter else "mit",
        base_model=started and started.repository,
        tags=[*TAGS, method, config.task_name],
        eval_results=[_result(config.task_name, row) for row in numbers] or None,
    )
    card = hub.ModelCard.from_template(
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
    if is_adapter and started:
        # The adapter names its base model by a folder of this checkout.
        adapter = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        adapter |= {"base_model_name_or_path": started.repository, "revision": started.revision}
        (folder / ADAPTER).write_text(json.dumps(adapter, indent=2) + "\n", encoding="utf-8")


def _result(task: str, row: dict) -> hub.EvalResult:
    """Return pass@1 on a test set as a share with six digits, as in the tables."""
    problems, shares = f"{row['problem_set']}, {row['problem_type']}", ("pass_at_1", "ci_low", "ci_high")
    value, low, high = (float(f"{row[name]:.6g}") for name in shares)
    counts = {name: int(row[name]) for name in ("n_problems", "n_samples")}
    return hub.EvalResult(
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
    data = hub.DatasetCardData(
        pretty_name=artifact.slug,
        license="mit",
        task_categories=["text-generation"],
        size_categories=[next((name for below, name in SIZES.items() if len(table) < below), "n>1M")],
        tags=[*TAGS, config.task_name],
        configs=[{"config_name": "default", "data_files": [{"split": SPLITS[owned], "path": path.name}]}],
    )
    card = hub.DatasetCard.from_template(
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


def require_pushable(repository: str) -> None:
    """Refuse a wrong name or a missing token, before anything is written."""
    try:
        hub.utils.validate_repo_id(repository)
    except ValueError as error:
        raise ParamsError(f"--push {repository}: {error}") from None
    if hub.get_token() is None:
        raise ParamsError("--push: no token of the Hugging Face hub; `hf auth login` stores one, HF_TOKEN gives one")


def push_folder(folder: Path, repository: str, kind: str, private: bool) -> str:
    """Upload a folder to a repository of a `kind`, ``model`` or ``dataset``, and return its address."""
    try:
        api = hub.HfApi()
        address = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, repo_type=kind, commit_message=f"Add {folder.name}")
    except (HTTPError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        again = f"hf upload {repository} {folder} --repo-type {kind}" + " --private" * private
        raise ParamsError(f"--push {repository}: {reason}; {folder} is written, `{again}` tries again") from None
    return str(address)
