"""Write export folders with checked copies of an artifact's files and records, and upload them to the hub."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from selectimprove.artifacts.provenance import file_hash, read_record
from selectimprove.config.stages import Run
from selectimprove.config.training import Pretrained
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError


@dataclass(frozen=True)
class Checkpoint:
    """A model at a step of RL or a round of rejection sampling (0 before it), with its run and measures, if any."""

    artifact: Artifact
    folder: Path
    step: int
    measures: Artifact | None = None
    run: Run | None = None

    @property
    def pretrained(self) -> Pretrained | None:
        """The pretrained model that its training started from, if any."""
        found = (each.config.pretrained for each in collect_ancestors([self.artifact]) if each.stage == "pretrained")
        return next((pretrained for pretrained in found if pretrained.weights != "random"), None)


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


def require_pushable(repository: str) -> None:
    """Refuse a wrong name or a missing token, before anything is written."""
    from huggingface_hub import get_token
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except ValueError as error:
        raise ParamsError(f"--push {repository}: {error}") from None
    if get_token() is None:
        raise ParamsError("--push: no token of the Hugging Face hub; `hf auth login` stores one, HF_TOKEN gives one")


def push_folder(folder: Path, repository: str, kind: str, private: bool) -> str:
    """Upload a folder to a repository of a `kind`, ``model`` or ``dataset``, and return its address."""
    from httpx import HTTPError
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        address = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, repo_type=kind, commit_message=f"Add {folder.name}")
    except (HTTPError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        again = f"hf upload {repository} {folder} --repo-type {kind}" + " --private" * private
        raise ParamsError(f"--push {repository}: {reason}; {folder} is written, `{again}` tries again") from None
    return str(address)
