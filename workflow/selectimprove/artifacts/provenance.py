"""Records of how artifacts were made, and checks that their files have not changed."""

import hashlib
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from selectimprove.artifacts.arithmetic import processor_info, vector_instructions
from selectimprove.artifacts.keys import OWN, PACKAGE, source_digests
from selectimprove.config.sources import NOTEBOOKS, find_module
from selectimprove.errors import ParamsError

RECORD = "provenance.json"
"""The record in an artifact's folder; an artifact that has it is complete."""
PACKAGES = (
    *("torch", "transformers", "trl", "peft", "vllm", "accelerate"),
    *("datasets", "numpy", "pandas", "pyarrow", "papermill", "matplotlib"),
)
SETTINGS = ("ATEN_CPU_CAPABILITY", "CUDA_VISIBLE_DEVICES", "MKL_CBWR", "OMP_", "PYTHONHASHSEED", "PYTORCH_", "VLLM_")
"""Prefixes of environment variables that may change where and how sums are calculated; they are recorded."""
REPEAT = "repeat the command, which makes it again if it is needed"


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative path, except the record and what editors hide."""
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): file_hash(folder / path) for path in files if path.name != RECORD and not is_hidden(path)}


def is_hidden(path: Path) -> bool:
    """Tell whether a relative path is of an editor or a desktop: ``.ipynb_checkpoints``, ``.#notes``, ``.DS_Store``."""
    return any(part.startswith(".") for part in path.parts)


def read_record(path: Path, remedy: str = "") -> dict:
    """Read a JSON record; if it is missing or broken, a ParamsError says to remove its folder, then `remedy`."""
    advice = f"; remove {path.parent} and {remedy}" if remedy else ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}{advice}") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: is not the JSON that was written: empty, cut short or edited{advice}")
    return content


def read_if_whole(path: Path) -> dict:
    """Read a record; an empty one if it is missing or broken."""
    try:
        return read_record(path)
    except ParamsError:
        return {}


def require_intact(folders: Iterable[Path], remedy: str = REPEAT) -> None:
    """Raise a ParamsError if a file of artifacts is missing or differs from its recorded hash."""
    for folder in folders:
        # A folder that was given by hand.
        if not (folder / RECORD).exists():
            continue
        for name, expected in read_record(folder / RECORD, remedy).get("files", {}).items():
            path = folder / name
            # Large weights are hashed only by stages that use them.
            if path.suffix == ".safetensors" and "torch" not in sys.modules:
                continue
            if not path.is_file():
                raise ParamsError(f"{path}: is missing; remove {folder} and {remedy}")
            if file_hash(path) != expected:
                raise ParamsError(f"{path}: has changed since it was made; remove {folder} and {remedy}")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def run_git(here: Path, *arguments: str) -> str:
    """Return the output of a git command in a folder; it takes no locks and accepts repositories of any owner."""
    # In a git hook, these variables name the hook's repository.
    named = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    # Python runs the code of this checkout anyway, so its owner is trusted.
    command = ["git", "--no-optional-locks", "-c", "safe.directory=*", *arguments]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def git_commit(here: Path = PACKAGE, others: Iterable[Path] = ()) -> str | None:
    """Return the commit, plus ``+dirty`` if the folder or other files differ; None if no repository tracks the code."""
    try:
        run_git(here, "ls-files", "--error-unmatch", "__init__.py")
        root = Path(run_git(here, "rev-parse", "--show-toplevel"))
        files = [str(file.resolve()) for file in others if file.resolve().is_relative_to(root)]
        changed = run_git(here, "status", "--porcelain", "--untracked-files=all", "--", ".", *files)
        return run_git(here, "rev-parse", "HEAD") + ("+dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _command() -> str:
    """Return this process's command for a shell in the same folder."""
    recorded = (name for name in sorted(os.environ) if name.startswith(SETTINGS) and "KEY" not in name)
    settings = [f"{name}={os.environ[name]}" for name in recorded]
    return shlex.join(["env", *settings, Path(sys.executable).name, *sys.orig_argv[1:]])


class Recorder:
    """Records how a stage makes its artifact; `modules` are its module and those that it loads by name."""

    def __init__(self, config, inputs: dict[str, Path], modules: frozenset[str]):
        self.config, self.inputs, self.modules = config, inputs, modules
        # Read at the start, since the source may change while a long stage runs.
        self.source = source_digests(modules)
        # Includes the import of torch and TRL, which takes longer than some stages.
        self.started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)

    @property
    def input_names(self) -> dict[str, str]:
        return {role: path.name for role, path in self.inputs.items()}

    def _commit(self) -> str | None:
        files = [find_module(module.removeprefix(OWN)) for module in self.source if module.startswith(OWN)]
        if notebook := getattr(self.config, "notebook", None):
            files.append(NOTEBOOKS / f"{notebook}.ipynb")
        return git_commit(others=filter(None, files))

    def finish(self, folder: Path, resumed: bool) -> dict:
        """Describe the run and hash every file in `folder`; `resumed` tells whether an earlier process began it."""
        return {
            "command": _command(),
            "inputs": self.input_names,
            "source": self.source,
            "seed": getattr(self.config, "seed", None),
            "files": folder_hashes(folder),
            "commit": self._commit(),
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
