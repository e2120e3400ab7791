"""How an artifact came about: versions, commit, machine, time, memory and the hashes of what was written; and whether it still is that."""

import hashlib
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from selectimprove.artifacts.arithmetic import processor_info, vector_instructions
from selectimprove.artifacts.keys import source_digests
from selectimprove.errors import ParamsError

RECORD = "provenance.json"
"""The file of an artifact that says how it came about; an artifact that has it is complete."""

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "vllm",
    "accelerate",
    "datasets",
    "numpy",
    "pandas",
    "pyarrow",
    "papermill",
    "matplotlib",
)

SETTINGS = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_CBWR", "ATEN_CPU_CAPABILITY")
"""Variables of the environment that decide where and how sums are calculated."""


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): file_hash(path) for path in files if path.name != RECORD}


def read_record(path: Path) -> dict:
    """Read a mapping that was written as JSON beside an artifact's data, or beside what was published.

    Raises
    ------
    ParamsError
        If the file is not that, as one that is empty, cut short or in conflict is not.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: is not the JSON that was written: empty, cut short or edited")
    return content


REPEAT = "repeat the command, which makes it again if it is needed"


def read_own_record(folder: Path, remedy: str = REPEAT) -> dict:
    """Read what was recorded of an artifact.

    Parameters
    ----------
    folder : Path
    remedy : str, optional
        What to do when a broken artifact is removed.

    Raises
    ------
    ParamsError
        If that is broken; it says what to do.
    """
    try:
        return read_record(folder / RECORD)
    except ParamsError as error:
        raise ParamsError(f"{error}; remove {folder} and {remedy}") from None


def require_intact(folders: Iterable[Path], remedy: str = REPEAT) -> None:
    """Compare the files of artifacts with the hashes that were recorded of them.

    A folder without a record is one's own, given by hand, and is taken as it is. Weights are read, and so compared, only where torch
    is loaded.

    Parameters
    ----------
    folders : iterable of Path
    remedy : str, optional
        What to do when a broken artifact is removed.

    Raises
    ------
    ParamsError
        If a file is missing or another, as after a broken copy or a full disk; it says which, and what to do.
    """
    for folder in folders:
        if not (folder / RECORD).exists():
            continue
        for name, expected in read_own_record(folder, remedy).get("files", {}).items():
            path = folder / name
            if path.suffix == ".safetensors" and "torch" not in sys.modules:
                continue
            if not path.is_file():
                raise ParamsError(f"{path}: is missing; remove {folder} and {remedy}")
            if file_hash(path) != expected:
                raise ParamsError(f"{path}: has changed since it was made; remove {folder} and {remedy}")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a result, as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def run_git(here: Path, *arguments: str) -> str:
    """Return what a command of git prints in a folder.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        Without git, or if the command fails, as it does outside a repository.
    """
    # Inside a hook, git says by these which repository it means, whatever the folder.
    named = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    done = subprocess.run(["git", *arguments], cwd=here, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _command() -> str:
    """Return the command of this process, as a shell takes it in the folder where it was given."""
    settings = [f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ]
    return shlex.join(["env", *settings, Path(sys.executable).name, *sys.orig_argv[1:]])


def git_commit(here: Path = Path(__file__).parents[1]) -> str | None:
    """Return the commit that is checked out, with ``+dirty`` for uncommitted changes.

    Parameters
    ----------
    here : Path, optional
        The folder of the code.

    Returns
    -------
    str or None
        None without git, outside a repository, and in one that does not track the code, such as that around an unpacked archive.
    """
    try:
        run_git(here, "ls-files", "--error-unmatch", "__init__.py")
        changed = run_git(here, "status", "--porcelain", "--", ".")
        return run_git(here, "rev-parse", "HEAD") + ("+dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


class Recorder:
    """Watches one stage from its start.

    Parameters
    ----------
    config : object
        The stage's config; its ``seed``, if it has one, is recorded.
    inputs : dict of str to Path
        Input folders by role.
    modules : frozenset of str
        The stage's module, and those that it loads by name.
    """

    def __init__(self, config, inputs: dict[str, Path], modules: frozenset[str]):
        self.config = config
        # Read at the start: the source may change while a long stage runs.
        self.source = source_digests(modules)
        self.inputs = inputs
        # Loading torch and TRL takes longer than some stages take after it.
        self.started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)

    @property
    def input_names(self) -> dict[str, str]:
        """The names of the input artifacts by role, which end with their keys."""
        return {role: path.name for role, path in self.inputs.items()}

    def finish(self, folder: Path, resumed: bool) -> dict:
        """Describe the run, hashing every file in `folder`.

        Parameters
        ----------
        folder : Path
        resumed : bool
            Whether an earlier process had begun it.

        Returns
        -------
        dict
            ``seconds`` is wall time since the process began, ``peak_memory_mib`` the largest resident size of the process.
        """
        return {
            "command": _command(),
            "inputs": self.input_names,
            "source": self.source,
            "seed": getattr(self.config, "seed", None),
            "files": folder_hashes(folder),
            "commit": git_commit(),
            "versions": versions(),
            "machine": {
                "system": f"{platform.system()} {platform.machine()}",
                "processor": processor_info("model name") or platform.processor(),
                "vector_instructions": vector_instructions(),
                "mkl_cbwr": os.environ.get("MKL_CBWR"),
                "cores": os.cpu_count(),
                "threads": int(os.environ.get("OMP_NUM_THREADS", 0)) or None,
            },
            "resumed": resumed,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.started).total_seconds(), 1),
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
