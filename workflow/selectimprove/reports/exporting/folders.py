"""A folder for people elsewhere: checked copies of an artifact's files, its card and records, written whole; and its way to the hub."""

import inspect
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from selectimprove.artifacts.provenance import file_hash, read_record
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError
from selectimprove.tasks.interface import load_task

ROOT = Path(__file__).parents[4]
TEMPLATES = ROOT / "workflow" / "cards"
DATA = ("problems", "demonstrations")


def write_folder(target: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a folder beside the target, then give it the target's name.

    Raises
    ------
    ParamsError
        If the target is there and is not an empty folder, or cannot be written.
    """
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ParamsError(f"{target}: is there and not empty; name another folder, or remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            partial = Path(scratch) / target.name
            partial.mkdir()
            write(partial)
            partial.replace(target)
    except OSError as error:
        raise ParamsError(f"{target}: cannot be written: {error}") from None


def copy_checked(artifact: Artifact, files: Iterable[Path], folder: Path) -> None:
    """Copy files of an artifact that have the hashes of its record.

    Raises
    ------
    ParamsError
        If one has not.
    """
    recorded = read_record(artifact.done).get("files", {})
    for file in files:
        if file_hash(file) != recorded.get(str(file.relative_to(artifact.folder))):
            raise ParamsError(f"{file}: is not the file that was recorded; remove {artifact.folder} and make it again")
        shutil.copyfile(file, folder / file.name)


def write_records(artifact: Artifact, folder: Path) -> None:
    """Write ``provenance.json``: config and record of the artifact and of all that it was made from, by their names; and the licence."""
    records = {
        f"{source.stage}/{source.name}": {
            "config": source.config.model_dump(mode="json"),
            "provenance": read_record(source.done) if source.done.exists() else None,
        }
        for source in collect_ancestors([artifact])
    }
    (folder / "provenance.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")


def render_card(template: str, metadata: str, **values: object) -> str:
    """Write a card: its metadata, YAML, and the text of a template of ``workflow/cards``."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template(template).render(values)
    return f"---\n{metadata.strip()}\n---\n\n{text.strip()}\n"


def summarise_task(task: str) -> str:
    """Return the sentence that a task's problems are introduced with."""
    return (inspect.getdoc(load_task(task)) or "").partition("\n")[0]


def describe_lineage(artifact: Artifact) -> list[dict]:
    """Tell of an artifact and of all that it was made from, in the order in which data flow.

    Returns
    -------
    list of dict
        ``name`` with its stage and ``title`` for people; ``sources``, names of what it was made from; ``data``, what problems or demonstrations
        are, ``params``, with what any other artifact was trained, in YAML; ``commit`` and ``seconds``, None where it is not here or was
        resumed: only its last process is recorded.
    """
    entries = []
    for source in sorted(collect_ancestors([artifact]), key=lambda each: list(STAGES).index(each.stage)):
        record = read_record(source.done) if source.done.exists() else {}
        config = source.config.model_dump(mode="json", exclude={"task", "task_name", "seed"}, exclude_none=True)
        is_data = source.stage in DATA
        entries.append(
            {
                "name": f"{source.stage}/{source.name}",
                "title": STAGES[source.stage].title,
                "sources": [f"{below.stage}/{below.name}" for below in source.inputs.values()],
                "data": yaml.safe_dump(config, default_flow_style=True, width=1000).strip()[1:-1] if is_data else "",
                "params": "" if is_data else yaml.safe_dump(config, sort_keys=False).strip(),
                "commit": record.get("commit"),
                "seconds": None if record.get("resumed") else record.get("seconds"),
            }
        )
    return entries


def require_pushable(repository: str) -> None:
    """Refuse what the hub would, before anything is written: a wrong name, or no token.

    Raises
    ------
    ParamsError
    """
    from huggingface_hub import get_token
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except ValueError as error:
        raise ParamsError(f"--push {repository}: {error}") from None
    if get_token() is None:
        raise ParamsError("--push: no token of the Hugging Face hub; `hf auth login` stores one, HF_TOKEN gives one")


def push_folder(folder: Path, repository: str, kind: str, private: bool) -> str:
    """Upload a folder to a repository of the hub, made if it is not there.

    Parameters
    ----------
    folder : Path
    repository : str
        ``owner/name``.
    kind : {'model', 'dataset'}
    private : bool
        Of a repository that is made; one that is there stays as it is.

    Returns
    -------
    str
        Its address.

    Raises
    ------
    ParamsError
        If the hub cannot be reached or refuses.
    """
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
