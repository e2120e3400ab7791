"""Locks between processes that share a folder of results."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG = logging.getLogger(__name__)


@contextmanager
def lock_folder(folder: Path) -> Iterator[bool]:
    """Hold the lock on a folder; yields whether another process had it before."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            had_to_wait = False
        except BlockingIOError:
            LOG.info("%s: another process makes this; waiting for it", folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            had_to_wait = True
        yield had_to_wait
    finally:
        os.close(descriptor)
