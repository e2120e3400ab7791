"""Locks between processes that share a folder of results.

The lock is on a file beside the folder, opened for writing: Linux passes such a lock on to an NFS server, and that on a folder not. The
system drops it with the process, however that ends.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOG = logging.getLogger(__name__)


def lock_of(folder: Path) -> Path:
    """Return the file that is there while a process holds the lock on a folder, and after one that was killed with it."""
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder, which need not exist; says in the log that it waits for another process."""
    path = lock_of(folder)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            # Whoever shares the results may lock it, whatever the umask of who came first.
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LOG.info("%s: another process makes this; waiting for it", folder)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who had the lock removed the file: a lock on what is removed excludes no one.
            if _is_open_at(descriptor, path):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def _is_open_at(descriptor: int, path: Path) -> bool:
    """Tell whether a path leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
