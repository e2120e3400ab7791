"""Give each job GPUs of its own.

Snakemake counts GPUs but does not say which ones a job may use, so jobs would share the first one or spread over all.
This module locks as many GPUs as a job asks for, makes only these visible, and becomes the job; the system drops the
locks when the job ends. GPUs that a scheduler hides stay hidden::

    python -m selectimprove.artifacts.gpus 1 python -m selectimprove.stages.rl …
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHOWN = "CUDA_VISIBLE_DEVICES"


def shown_gpus() -> dict[str, str]:
    """Return the UUID of each visible GPU by its name for CUDA; empty without NVIDIA's driver."""
    try:
        query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    by_index = dict(line.split(", ") for line in listed.splitlines())
    names = os.environ.get(SHOWN)
    if names is None:
        return by_index
    # A name may be a UUID already, as for a part of a GPU.
    return {name: by_index.get(name, name) for name in names.replace(" ", "").split(",") if name}


def take_gpus(n: int, gpus: dict[str, str]) -> list[str]:
    """Wait for `n` free GPUs, lock them until this process ends, and return their names."""
    folder = Path(tempfile.gettempdir(), f"selectimprove-gpus-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    waits = False
    while True:
        taken: dict[str, int] = {}
        # Only one job chooses at a time, since two that wait for each other's GPUs would never start.
        with (folder / "choosing").open("w") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)
            for name, identity in gpus.items():
                if len(taken) < n and (descriptor := _lock(folder / identity.replace("/", "-"))) is not None:
                    taken[name] = descriptor
            if len(taken) == n:
                for descriptor in taken.values():
                    os.set_inheritable(descriptor, True)
                return list(taken)
            for descriptor in taken.values():
                os.close(descriptor)
        if not waits:
            print(f"waiting for {n} of the GPUs {', '.join(gpus)}, which other jobs have", file=sys.stderr, flush=True)
        waits = True
        time.sleep(1)


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def main(n: int, command: list[str]) -> None:
    """Replace this process by a command that sees `n` GPUs."""
    gpus = shown_gpus()
    if gpus:
        if len(gpus) < n:
            sys.exit(f"params.yaml: resources: a job takes {n} GPUs, but only {len(gpus)} are visible; ask for fewer")
        # The order in which nvidia-smi counts.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        os.environ[SHOWN] = ",".join(take_gpus(n, gpus))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
