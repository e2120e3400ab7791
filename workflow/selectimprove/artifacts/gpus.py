"""GPUs of a machine, of which each job gets its own.

Snakemake counts GPUs and does not say which ones a job may take. A job that saw all would spread over them, or share the first with the
others. So one that takes GPUs is started by this module, which locks as many as it asks for, shows it these alone, and becomes the job; the
system drops the locks with the process. What a scheduler has hidden stays hidden::

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
    """Return what tells each GPU from all others of this machine, by the name that CUDA takes; none where no driver of NVIDIA's is."""
    try:
        query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    by_index = dict(line.split(", ") for line in listed.splitlines())
    names = os.environ.get(SHOWN)
    if names is None:
        return by_index
    # A name may be an identifier itself, as that of a part of a GPU is.
    return {name: by_index.get(name, name) for name in names.replace(" ", "").split(",") if name}


def take_gpus(n: int, gpus: dict[str, str]) -> list[str]:
    """Lock some of these GPUs until this process, or what it becomes, has ended; waits until so many are free.

    Parameters
    ----------
    n : int
    gpus : dict of str to str
        As from `shown_gpus`.

    Returns
    -------
    list of str
        Names that CUDA takes.
    """
    folder = Path(tempfile.gettempdir(), f"selectimprove-gpus-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    waits = False
    while True:
        taken: dict[str, int] = {}
        # Of two jobs that each wait for what the other has, neither would go on.
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
    """Become a command that sees so many GPUs and no more."""
    gpus = shown_gpus()
    if gpus:
        if len(gpus) < n:
            sys.exit(
                f"params.yaml: resources: a job takes {n} GPUs, and {len(gpus)} are to be seen here; ask for fewer"
            )
        # As nvidia-smi counts them.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        os.environ[SHOWN] = ",".join(take_gpus(n, gpus))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
