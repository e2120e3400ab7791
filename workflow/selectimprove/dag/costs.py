"""What the DAG costs, from times recorded by earlier runs: before it starts, and while it runs.

Every artifact's provenance holds the seconds that it took. Publishing collects them in ``results/costs.csv``, which is in git, so that
a new clone knows them too. An artifact that was never made is taken to cost what others of its stage and slug did, else what
others of its stage did at this scale; where there are none, its cost is unknown.
"""

import csv
import logging
import math
import sys
import threading
import time
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import mean

from selectimprove.artifacts.provenance import read_record
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError

LOG = logging.getLogger(__name__)
COSTS = RESULTS / "costs.csv"
COLUMNS = ("scale", "stage", "name", "seconds", "peak_memory_mib", "processor")


def read_costs(path: Path = COSTS) -> list[dict[str, str]]:
    """Read recorded costs; none if there is no such file. What is no record is left out, with one warning: no run fails for it."""
    if not path.exists():
        return []
    records, broken = [], []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").replace("\0", "\ufffd").splitlines()
    except OSError as error:
        _warn(f"{path}: cannot be read ({error.strerror}); times are unknown")
        return []
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            broken.append(number)
        elif row["seconds"] != "seconds":
            records.append(row)
    if broken:
        more = f", nor are {len(broken) - 1} more" if len(broken) > 1 else ""
        _warn(
            f"{path}: line {broken[0]} is no record of costs{more}; ignored, and left out when costs are written next"
        )
    return records


@cache
def _warn(text: str) -> None:
    """Warn once, however often a process reads the file."""
    LOG.warning(text)


def _row(line: str) -> dict[str, str] | None:
    """Read a line of the file, its head included; None if it is none."""
    try:
        (fields,) = csv.reader([line])
        row = dict(zip(COLUMNS, fields, strict=True))
        known = fields == list(COLUMNS) or 0 <= float(row["seconds"]) < math.inf
    except (ValueError, csv.Error):
        return None
    return row if known else None


def _slug(name: str) -> str:
    return name.rpartition("-")[0]


def _recorded(artifact: Artifact) -> dict | None:
    """Read the provenance of an artifact that is made; None if there is none, or it is broken, which verification will say."""
    try:
        record = read_record(artifact.done)
    except ParamsError:
        return None
    return record if isinstance(record.get("seconds"), int | float) else None


def collect_costs(plan: Plan, earlier: list[dict[str, str]]) -> list[dict]:
    """List what each artifact of a plan cost when it was made, in place of earlier records of the same slugs."""
    rows = []
    for stage, artifacts in plan.artifacts.items():
        for artifact in artifacts.values():
            record = _recorded(artifact)
            if record:
                machine = record.get("machine") or {}
                values = (
                    plan.params.scale,
                    stage,
                    artifact.name,
                    record["seconds"],
                    record.get("peak_memory_mib"),
                    machine.get("processor"),
                )
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    known = {(row["scale"], row["stage"], _slug(row["name"])) for row in rows}
    rows += [row for row in earlier if (row["scale"], row["stage"], _slug(row["name"])) not in known]
    return sorted(rows, key=lambda row: (row["scale"], row["stage"], row["name"]))


class Estimate:
    """Expected seconds of artifacts, from recorded costs.

    Parameters
    ----------
    scale : str
        Only records of this scale count.
    records : list of dict
        Rows of ``results/costs.csv``.
    """

    def __init__(self, scale: str, records: list[dict[str, str]]):
        self.recorded = defaultdict(list)
        for row in records:
            if row["scale"] == scale:
                for likeness in (row["name"], _slug(row["name"]), ""):
                    self.recorded[row["stage"], likeness].append(float(row["seconds"]))

    def seconds(self, artifact: Artifact) -> float | None:
        """Return the expected wall time on one core, or None if nothing alike was recorded."""
        for likeness in (artifact.name, artifact.slug, ""):
            if seconds := self.recorded.get((artifact.stage, likeness)):
                return mean(seconds)
        return None


def time_left(pending: dict[Artifact, float], cores: int) -> float:
    """Bound the time that pending artifacts take: their sum over the cores, and the longest chain among them.

    Parameters
    ----------
    pending : dict of Artifact to float
        Seconds that each still needs.
    cores : int

    Returns
    -------
    float
        Seconds.
    """
    chains: dict[Artifact, float] = {}

    def chain(artifact: Artifact) -> float:
        if artifact not in chains:
            before = max((chain(source) for source in artifact.inputs.values()), default=0.0)
            chains[artifact] = before + pending.get(artifact, 0.0)
        return chains[artifact]

    return max(sum(pending.values()) / cores, max(map(chain, pending), default=0.0))


def describe(seconds: float) -> str:
    """Say a duration as people do: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress(threading.Thread):
    """Says on the terminal how far a run is and how long it will take, once a minute and whenever much was done.

    Recorded times come from another machine, or from this one when it was busy. The artifacts that this run has already made
    tell how much slower or faster it is, and the rest is scaled by that.

    Parameters
    ----------
    scale : str
    asked : list of Artifact
        What this run has to make.
    cores : int
    interval : float
        Seconds between two lines.
    """

    def __init__(self, scale: str, asked: list[Artifact], cores: int, interval: float = 60):
        super().__init__(daemon=True)
        self.asked, self.cores, self.interval = asked, cores, interval
        self.estimate = Estimate(scale, read_costs())
        self.running_since: dict[Artifact, float] = {}

    def run(self) -> None:
        while self.asked:
            line = self.line(time.monotonic())
            if line is None:
                return
            print(line, file=sys.stderr, flush=True)
            time.sleep(self.interval)

    def line(self, now: float) -> str | None:
        """Describe the state of the run; None when everything is made."""
        done = [artifact for artifact in self.asked if artifact.done.exists()]
        pending = [artifact for artifact in self.asked if artifact not in done]
        if not pending:
            return None
        count = f"{len(done)} of {len(self.asked)} artifacts made"
        seconds = {artifact: self.estimate.seconds(artifact) for artifact in self.asked}
        expected = {artifact: value for artifact, value in seconds.items() if value is not None}
        unknown = sorted({artifact.stage for artifact in pending if artifact not in expected})
        known = [artifact for artifact in pending if artifact in expected]
        if not known:
            return f"{count}; the time left is unknown, since none was recorded at this scale"
        records = {artifact: _recorded(artifact) for artifact in done if artifact in expected}
        taken = sum(record["seconds"] for record in records.values() if record)
        foreseen = sum(expected[artifact] for artifact, record in records.items() if record)
        # A minute of evidence for the recorded pace keeps the first short jobs from deciding.
        pace = (taken + 60) / (foreseen + 60)
        left = {}
        for artifact in known:
            if artifact.folder.with_name(artifact.name + ".partial").exists():
                self.running_since.setdefault(artifact, now)
            elapsed = now - self.running_since.get(artifact, now)
            left[artifact] = max(pace * expected[artifact] - elapsed, 0.0)
        but = f", not counting {', '.join(unknown)}, of which none was recorded" if unknown else ""
        return f"{count}; about {describe(time_left(left, self.cores))} left on {self.cores} cores{but}"
