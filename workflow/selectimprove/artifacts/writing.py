"""Writing a file that others may be reading."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then give it its own: nobody ever finds half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def drop_temporaries(targets: Iterable[Path]) -> None:
    """Remove what those left who were killed while they wrote a file. Whoever else writes them must be locked out."""
    for target in targets:
        for temporary in target.parent.glob(f"{target.name}.*.tmp"):
            temporary.unlink(missing_ok=True)


def date_back(files: Iterable[Path]) -> None:
    """Date what is of the future to now.

    A clock that was set back leaves such files, and so do nodes of which the clocks differ. Snakemake fails a job whose output is older
    than its input. What belongs to someone else stays as it is.
    """
    for file in files:
        with suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mtime > time.time():
                os.utime(file)
