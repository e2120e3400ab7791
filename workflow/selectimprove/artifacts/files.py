"""Files that several processes share: locks on folders, and atomic writes."""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOG = logging.getLogger(__name__)


def lock_of(folder: Path) -> Path:
    """Return the file that is locked for a folder: over NFS, only files can be locked."""
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder, which need not exist; the system drops it when the process ends."""
    path = lock_of(folder)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            # All who share the results may lock, whatever the umask of the first process.
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LOG.info("%s: another process makes this; waiting for it", folder)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # If the previous holder removed the file, this lock excludes no one; try again.
            if _is_open_at(descriptor, path):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, then rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def drop_temporaries(targets: Iterable[Path]) -> None:
    """Remove temporary files that a killed `replace` left; no other process may be writing the targets."""
    for target in targets:
        for temporary in target.parent.glob(f"{target.name}.*.tmp"):
            temporary.unlink(missing_ok=True)


def date_back(files: Iterable[Path]) -> None:
    """Set times in the future to now: after a clock is set back, Snakemake rejects outputs older than inputs."""
    for file in files:
        with suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mtime > time.time():
                os.utime(file)
