"""The ends of logs, which may be long, may be written meanwhile, and may be missing."""

from pathlib import Path

TAIL = 8192
"""Bytes at the end of a log that are looked at."""


def read_tail(log: Path) -> bytes:
    """Return the end of a log; nothing if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return file.read()
    except OSError:
        return b""
