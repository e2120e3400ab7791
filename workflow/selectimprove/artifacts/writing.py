"""Writing a file that others may be reading."""

import os
from collections.abc import Callable, Iterable
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
