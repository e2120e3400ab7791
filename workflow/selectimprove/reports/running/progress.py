"""The progress of a run: how much is made, what is being made, and how long the rest will take."""

import ast
import re
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from selectimprove.artifacts.files import lock_of
from selectimprove.artifacts.runner import working_folder
from selectimprove.config.params import Params
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.dag.command import needs_of
from selectimprove.dag.costs import Estimate, costs_file, describe, read_costs, recorded, time_left
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.reports.running import read_tail

if TYPE_CHECKING:
    # Its module and that of Snakemake's interface import each other.
    from snakemake.workflow import Workflow

LOGGED = re.compile(rb"\{'[^{}]*'epoch'[^{}]*\}")
"""What a trainer prints at each logging step."""


def last_logged(log: Path) -> dict[str, float]:
    """Return the numbers that a trainer printed last; none if it has not printed any."""
    found = LOGGED.findall(read_tail(log))
    try:
        return {name: float(value) for name, value in ast.literal_eval(found[-1].decode()).items()}
    except (IndexError, ValueError, SyntaxError):
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
    """Return how much of each resource jobs share; on a cluster, as many cores as jobs may run."""
    settings = workflow.resource_settings
    told = workflow.global_resources if workflow.local_exec else {}
    cores = settings.cores or settings.nodes or 1
    return {"cores": cores} | {name: told[name].value for name in ("gpu", "mem_mb") if name in told}


class Progress(threading.Thread):
    """Prints every `interval` seconds how many artifacts of those `asked` for are made, and how long the rest will take.

    Recorded times come from another machine, or from this one when it was busy. The artifacts that this run has already
    made tell how much slower or faster it is, and the expected rest is scaled by that. `have` is what jobs share.
    """

    def __init__(self, params: Params, asked: list[Artifact], have: Mapping[str, float], interval: float = 60):
        super().__init__(daemon=True)
        self.asked, self.have, self.interval = asked, have, interval
        self.needs = partial(needs_of, resources=params.resources)
        estimate = Estimate(read_costs(costs_file(params.scale)))
        seconds = {artifact: estimate.seconds(artifact) for artifact in asked}
        self.expected = {artifact: value for artifact, value in seconds.items() if value is not None}
        self.running_since: dict[Artifact, float] = {}
        self.started = time.time()

    def run(self) -> None:
        while line := self.line(time.monotonic()):
            print(line, file=sys.stderr, flush=True)
            time.sleep(self.interval)

    def is_running(self, artifact: Artifact) -> bool:
        """Tell whether a job of this run is making an artifact: it has a log, and a lock until it ends."""
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
        # A stage of seconds may be over when the line is read.
        long = (artifact for artifact in running if STAGES[artifact.stage].needs != "light")
        now_at = "".join(f"\n    {standing(artifact)}" for artifact in long)
        known = [artifact for artifact in pending if artifact in self.expected]
        if not known:
            return f"{count}; the time left is unknown, since none was recorded at this scale{now_at}"
        records = {
            artifact: record for artifact in done if artifact in self.expected and (record := recorded(artifact))
        }
        taken = sum(record["seconds"] for record in records.values())
        foreseen = sum(self.expected[artifact] for artifact in records)
        # A minute of evidence for the recorded pace keeps the first short jobs from deciding.
        pace = (taken + 60) / (foreseen + 60)
        elapsed = {artifact: now - self.running_since.get(artifact, now) for artifact in known}
        left = {artifact: max(pace * self.expected[artifact] - elapsed[artifact], 0.0) for artifact in known}
        unknown = sorted({artifact.stage for artifact in pending if artifact not in self.expected})
        but = f", not counting {', '.join(unknown)}, of which none was recorded" if unknown else ""
        time = describe(time_left(left, self.needs, self.have))
        return f"{count}; about {time} left on {self.have['cores']:g} cores{but}{now_at}"
