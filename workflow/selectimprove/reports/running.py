"""Checks before a run starts, its progress, and messages when it fails."""

import ast
import atexit
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from selectimprove.artifacts.files import lock_of
from selectimprove.artifacts.runner import working_folder
from selectimprove.config.params import Params
from selectimprove.config.sections import Resources
from selectimprove.dag.artifact import RESULTS, Artifact, needs_of
from selectimprove.dag.costs import describe, expected_seconds, recorded, time_left
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES

if TYPE_CHECKING:
    # At run time, this would be a circular import.
    from snakemake.workflow import Workflow

KEPT = "interrupted; what is complete is kept, and a training goes on from its last checkpoint: repeat the command"
TAIL = 8192
"""Number of bytes that are read at the end of a log."""
LOGGED = re.compile(rb"\{'[^{}]*'epoch'[^{}]*\}")
"""The line that a trainer prints at each logging step."""


def read_tail(log: Path) -> bytes:
    """Return the end of a log; empty if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return file.read()
    except OSError:
        return b""


def require_runnable(workflow: "Workflow", resources: Resources) -> None:
    """Raise a WorkflowError, which says what to change, if jobs cannot start or their files cannot be written."""
    jobs = list(workflow.dag.needrun_jobs())
    limits = workflow.global_resources
    # Without a limit, all jobs would start at once and share the GPUs.
    if workflow.local_exec and "gpu" not in limits and any(job.resources.get("gpu") for job in jobs):
        advice = "say how many this machine has with --resources gpu=1, or send jobs elsewhere with --executor"
        raise WorkflowError(f"params.yaml: resources: jobs take GPUs; {advice}")
    most = max(stage.resources(resources).mem_mb for stage in STAGES.values())
    # The limit in profiles/default is the memory of the submitting machine.
    if not workflow.local_exec and "mem_mb" in limits and limits["mem_mb"].value < most:
        less = "which has less memory than jobs ask for; name a workflow profile, or --workflow-profile none"
        raise WorkflowError(f"profiles/default is for jobs on this machine, {less}")
    files = (Path(file) for job in jobs for file in [*job.output, *job.log])
    for folder in sorted({next(folder for folder in file.parents if folder.is_dir()) for file in files}):
        if not os.access(folder, os.W_OK | os.X_OK):
            advice = "make it writable, or work in a clone of your own"
            raise WorkflowError(f"{folder}: cannot be written by this user; {advice}")


def end_jobs_when_interrupted() -> None:
    """Make SIGINT, SIGTERM and SIGHUP end all jobs: many send them to Snakemake alone, which waits for its jobs."""

    def interrupt(*_):
        # That jobs fail from now on is no news.
        logger.addFilter(lambda record: record.levelno < logging.ERROR)
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        threading.Thread(target=_end_jobs, daemon=True).start()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Background jobs of a shell ignore SIGINT, and those of nohup SIGHUP; leave it that way.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def _end_jobs() -> None:
    """End all descendants of this process, including new ones, until this process ends."""
    for attempt in range(60):
        for process in psutil.Process().children(recursive=True):
            try:
                process.send_signal(signal.SIGTERM if attempt < 3 else signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        time.sleep(1)


def last_logged(log: Path) -> dict[str, float]:
    """Return the last numbers that a trainer logged, if any."""
    with suppress(IndexError, ValueError, SyntaxError):
        logged = ast.literal_eval(LOGGED.findall(read_tail(log))[-1].decode())
        return {name: float(value) for name, value in logged.items()}
    return {}


def log_of(artifact: Artifact) -> Path:
    """Return the log of the job that makes an artifact."""
    return RESULTS / "logs" / artifact.stage / f"{artifact.name}.log"


def standing(artifact: Artifact) -> str:
    """Describe an artifact that is being made: ``rl FB-gf11-rl_6_9-s110: step 84 of 160, reward 0.71``."""
    name, course = f"{artifact.stage} {artifact.slug}", getattr(artifact.config, "course", None)
    logged = last_logged(log_of(artifact))
    if course is None or "epoch" not in logged:
        return name
    shown = next((f", {key} {logged[key]:.2f}" for key in ("reward", "loss") if key in logged), "")
    return f"{name}: {course.describe(logged['epoch'])}{shown}"


def artifacts_to_make(plan: Plan, workflow: "Workflow") -> list[Artifact]:
    """Return the artifacts that a run of Snakemake will make."""
    outputs = {str(output) for job in workflow.dag.needrun_jobs() for output in job.output}
    return [a for stage in plan.artifacts.values() for a in stage.values() if str(a.done) in outputs]


def capacity(workflow: "Workflow") -> dict[str, float]:
    """Return the amount of each resource that jobs share; on a cluster, the cores are the jobs that run at once."""
    settings = workflow.resource_settings
    told = workflow.global_resources if workflow.local_exec else {}
    cores = settings.cores or settings.nodes or 1
    return {"cores": cores} | {name: told[name].value for name in ("gpu", "mem_mb") if name in told}


class Progress(threading.Thread):
    """Prints every `interval` seconds how many of the `asked` artifacts are made, and how long the rest will take."""

    def __init__(self, params: Params, asked: list[Artifact], have: Mapping[str, float], interval: float = 60):
        super().__init__(daemon=True)
        self.asked, self.have, self.interval = asked, have, interval
        self.needs = partial(needs_of, resources=params.resources)
        self.expected = expected_seconds(params.scale, asked)
        self.running_since: dict[Artifact, float] = {}
        self.started = time.time()

    def run(self) -> None:
        while line := self.line(time.monotonic()):
            print(line, file=sys.stderr, flush=True)
            time.sleep(self.interval)

    def is_running(self, artifact: Artifact) -> bool:
        """Tell whether a job of this run is making an artifact: then there are a new log and a lock."""
        log, lock = log_of(artifact), lock_of(working_folder(artifact.folder))
        return log.exists() and log.stat().st_mtime >= self.started and lock.exists()

    def line(self, now: float) -> str | None:
        """Describe the state of the run; None when everything is made."""
        done = [artifact for artifact in self.asked if artifact.done.exists()]
        pending = [artifact for artifact in self.asked if artifact not in done]
        if not pending:
            return None
        running = [artifact for artifact in pending if self.is_running(artifact)]
        for artifact in running:
            self.running_since.setdefault(artifact, now)
        count = f"{len(done)} of {len(self.asked)} artifacts made"
        # Stages of a few seconds are not listed.
        shown = (standing(artifact) for artifact in running if STAGES[artifact.stage].needs != "light")
        now_at = "".join(f"\n    {line}" for line in shown)
        known = [artifact for artifact in pending if artifact in self.expected]
        if not known:
            return f"{count}; the time left is unknown, since none was recorded at this scale{now_at}"
        records = {artifact: recorded(artifact) for artifact in done if artifact in self.expected}
        taken = sum(record["seconds"] for record in records.values() if record)
        foreseen = sum(self.expected[artifact] for artifact, record in records.items() if record)
        # Recorded times may be of another or a busy machine. A minute on both sides keeps the first jobs from deciding.
        pace = (taken + 60) / (foreseen + 60)
        elapsed = {artifact: now - self.running_since.get(artifact, now) for artifact in known}
        left = {artifact: max(pace * self.expected[artifact] - elapsed[artifact], 0.0) for artifact in known}
        unknown = sorted({artifact.stage for artifact in pending if artifact not in self.expected})
        but = f", not counting {', '.join(unknown)}, of which none was recorded" if unknown else ""
        time = describe(time_left(left, self.needs, self.have))
        return f"{count}; about {time} left on {self.have['cores']:g} cores{but}{now_at}"


def report_end(logs: Iterable[str], failed: Iterable[Path]) -> None:
    """Print the lines of `describe_end` when Python exits, given Snakemake's logs and those of failed jobs."""
    said = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    # One call: exit functions run in reverse order.
    if lines := describe_end(said, failed):
        atexit.register(print, *lines, sep="\n", file=sys.stderr)


def describe_end(said: str, failed: Iterable[Path]) -> list[str]:
    """Say how to go on after an interruption; otherwise, repeat the last line of each failed job's log."""
    # Snakemake logs the first after Ctrl-C, the second after SIGTERM on a cluster.
    if "Terminating processes on user request" in said or "Will exit after finishing currently running jobs" in said:
        return [KEPT]
    tails = ((log, read_tail(log).decode(errors="replace").strip()) for log in failed)
    return [f"{log}: {tail.splitlines()[-1].strip()}" for log, tail in tails if tail]
