"""Problems or demonstrations as a folder that `datasets.load_dataset` reads, and its card."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import yaml

from selectimprove.artifacts.provenance import read_record
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.table import STAGES
from selectimprove.reports.exporting.folders import (
    copy_checked,
    describe_lineage,
    render_card,
    summarise_task,
    write_records,
)

SPLITS = {"sft_train": "train", "sft_validation": "validation", "rl": "train", "test": "test"}
"""What the hub calls the part of all problems that ours are drawn from."""
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
"""Categories of the hub, by the rows that they stay below."""


def write_dataset(artifact: Artifact, loaded_as: str, folder: Path) -> None:
    """Write the Parquet file, card and records of a set of problems or demonstrations.

    Parameters
    ----------
    artifact : Artifact
    loaded_as : str
        The repository or the folder that the card loads the data from.
    folder : Path
    """
    path = artifact.folder / STAGES[artifact.stage].files
    copy_checked(artifact, [path], folder)
    write_records(artifact, folder)
    (folder / "README.md").write_text(write_dataset_card(artifact, path, loaded_as), encoding="utf-8")


def write_dataset_card(artifact: Artifact, path: Path, loaded_as: str) -> str:
    """Write a dataset card in the form of the hub, from the rows and from the records of an artifact and of what it was made from."""
    from huggingface_hub import DatasetCardData

    table, task = pd.read_parquet(path), artifact.config
    problems = artifact.inputs.get("problems", artifact).config
    split = SPLITS[problems.split]
    metadata = DatasetCardData(
        pretty_name=artifact.slug,
        license="mit",
        task_categories=["text-generation"],
        size_categories=[next((name for below, name in SIZES.items() if len(table) < below), "n>1M")],
        tags=["arxiv:2606.13125", "synthetic", "reasoning", task.task_name],
        configs=[{"config_name": "default", "data_files": [{"split": split, "path": path.name}]}],
    )
    parts = [name for name in ("problem_type", "n_parts", "n_steps", "strategy") if name in table]
    return render_card(
        "dataset.md.jinja",
        metadata.to_yaml(),
        name=artifact.slug,
        key=f"{artifact.stage}/{artifact.name}",
        task=task.task_name,
        summary=summarise_task(task.task_name),
        settings=yaml.safe_dump(task.task.model_dump(mode="json"), sort_keys=False).strip(),
        renamed=hasattr(task.task, "relabel_seed"),
        demonstrated="completion" in table,
        n_rows=len(table),
        owned=problems.split,
        split=split,
        loaded_as=loaded_as,
        columns=[(field.name, str(field.type), str(table[field.name].iloc[0])) for field in pq.read_schema(path)],
        parts=parts,
        counts=table.groupby(parts).size().reset_index(name="rows").to_dict("records"),
        lineage=describe_lineage(artifact),
        record=read_record(artifact.done),
    )
