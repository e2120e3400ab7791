"""The start of a run on this machine, and its end when it does not succeed."""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from snakemake.exceptions import WorkflowError

from selectimprove.config.sections import Resources
from selectimprove.dag.table import STAGES

if TYPE_CHECKING:
    # Its module and that of Snakemake's interface import each other.
    from snakemake.workflow import Workflow

KEPT = "interrupted; what is complete is kept, and a training goes on from its last checkpoint: repeat the command"
TAIL = 8192
"""Bytes at the end of a log that are read."""


def read_tail(log: Path) -> bytes:
    """Return the end of a log; nothing if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return file.read()
    except OSError:
        return b""


def require_runnable(workflow: "Workflow", resources: Resources) -> None:
    """Check that the jobs of a run can start, and that their files can be written.

    Raises
    ------
    WorkflowError
        If not; it says what to change.
    """
    jobs = list(workflow.dag.needrun_jobs())
    limits = workflow.global_resources
    # Without a limit, all jobs would take the first GPU.
    if workflow.local_exec and "gpu" not in limits and any(job.resources.get("gpu") for job in jobs):
        raise WorkflowError(
            "params.yaml: resources: jobs take GPUs; say how many this machine has with --resources gpu=1, "
            "or send jobs elsewhere with --executor"
        )
    most = max(stage.resources(resources).mem_mb for stage in STAGES.values())
    # The limit in profiles/default is the memory of the machine that submits.
    if not workflow.local_exec and "mem_mb" in limits and limits["mem_mb"].value < most:
        raise WorkflowError(
            "profiles/default is for jobs on this machine, which has less memory than jobs ask for; "
            "name a workflow profile, or --workflow-profile none"
        )
    files = (Path(file) for job in jobs for file in [*job.output, *job.log])
    for folder in sorted({next(folder for folder in file.parents if folder.is_dir()) for file in files}):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WorkflowError(
                f"{folder}: cannot be written by this user; make it writable, or work in a clone of your own"
            )


def end_jobs_when_interrupted() -> None:
    """Have SIGINT and SIGTERM end the jobs on this machine, and with them Snakemake.

    Snakemake waits for its jobs. Ctrl-C in a terminal also reaches the jobs; but `kill`, a scheduler or a service
    manager signals Snakemake alone, and kills it after some seconds. A stage may be killed at any time.
    """

    def interrupt(*_):
        threading.Thread(target=_end_jobs, daemon=True).start()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell has its background jobs ignore SIGINT; leave it that way.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def _end_jobs() -> None:
    """End all processes below this one, also those that start meanwhile, until this one ends."""
    for attempt in range(60):
        for process in psutil.Process().children(recursive=True):
            try:
                process.send_signal(signal.SIGTERM if attempt < 3 else signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        time.sleep(1)


def report_end(logs: Iterable[str], failed: Iterable[Path]) -> None:
    """Print the lines of `describe_end` last, given Snakemake's own logs and those of the jobs that failed."""
    said = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    # In one call, since functions run in the opposite order of their registration.
    if lines := describe_end(said, failed):
        atexit.register(print, *lines, sep="\n", file=sys.stderr)


def describe_end(said: str, failed: Iterable[Path]) -> list[str]:
    """Say how to go on after an interruption; else repeat the last line of each failed job's log."""
    # Snakemake logs these after Ctrl-C and SIGTERM, the latter on a cluster.
    if "Terminating processes on user request" in said or "Will exit after finishing currently running jobs" in said:
        return [KEPT]
    tails = ((log, read_tail(log).decode(errors="replace").strip()) for log in failed)
    return [f"{log}: {tail.splitlines()[-1].strip()}" for log, tail in tails if tail]
