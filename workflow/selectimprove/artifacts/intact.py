"""Whether an artifact still is what was recorded when it was made, which is asked before anything is made from it."""

import sys
from collections.abc import Iterable
from pathlib import Path

from selectimprove.artifacts.provenance import RECORD, file_hash, read_record
from selectimprove.errors import ParamsError


def _remedy(folder: Path) -> str:
    return f"remove {folder} and repeat the command, which makes it again if it is needed"


def read_own_record(folder: Path) -> dict:
    """Read what was recorded of an artifact.

    Raises
    ------
    ParamsError
        If that is broken; it says what to do.
    """
    try:
        return read_record(folder / RECORD)
    except ParamsError as error:
        raise ParamsError(f"{error}; {_remedy(folder)}") from None


def require_intact(folders: Iterable[Path]) -> None:
    """Compare the files of artifacts with the hashes that were recorded of them.

    A folder without a record is one's own, given by hand, and is taken as it is. Weights are read, and so compared, only where torch
    is loaded.

    Parameters
    ----------
    folders : iterable of Path

    Raises
    ------
    ParamsError
        If a file is missing or another, as after a broken copy or a full disk; it says which, and what to do.
    """
    for folder in folders:
        if not (folder / RECORD).exists():
            continue
        for name, expected in read_own_record(folder).get("files", {}).items():
            path = folder / name
            if path.suffix == ".safetensors" and "torch" not in sys.modules:
                continue
            if not path.is_file():
                raise ParamsError(f"{path}: is missing; {_remedy(folder)}")
            if file_hash(path) != expected:
                raise ParamsError(f"{path}: has changed since it was made; {_remedy(folder)}")
