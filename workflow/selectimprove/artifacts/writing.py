"""Writing a file that others may be reading."""

import os
from collections.abc import Callable
from pathlib import Path


def replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then give it its own: nobody ever finds half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    write(temporary)
    temporary.replace(target)
