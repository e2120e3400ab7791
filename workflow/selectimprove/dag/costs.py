"""What artifacts cost, from the times that earlier runs recorded.

At its end, a run adds the seconds of new artifacts to ``costs.csv`` beside what its scale publishes. The default
scale's file is in git, so a new clone knows the times too.
"""

import csv
import logging
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import mean

from selectimprove.artifacts.files import replace
from selectimprove.artifacts.provenance import read_if_whole
from selectimprove.dag.artifact import Artifact, root_of
from selectimprove.dag.plan import Plan

COLUMNS = ("stage", "name", "seconds", "peak_memory_mib", "processor")
# A process that reads the file again does not repeat the warning.
_warn = cache(logging.getLogger(__name__).warning)


def costs_file(scale: str) -> Path:
    """Return the file with the costs of a scale."""
    return root_of(scale) / "costs.csv"


def read_costs(path: Path) -> list[dict[str, str]]:
    """Read recorded costs; none if the file cannot be read. Malformed lines are skipped, with one warning."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    rows = [_row(line) for line in lines if line != ",".join(COLUMNS)]
    if None in rows:
        _warn(f"{path}: {rows.count(None)} malformed lines: skipped, and dropped at the next writing")
    return [row for row in rows if row is not None]


def _row(line: str) -> dict[str, str] | None:
    try:
        # Line by line, so that a lone quotation mark does not swallow the rest of the file.
        (fields,) = csv.reader([line])
        row = dict(zip(COLUMNS, fields, strict=True))
        return row if 0 <= float(row["seconds"]) < math.inf else None
    except (ValueError, csv.Error):
        return None


def _slug(name: str) -> str:
    return name.rpartition("-")[0]


def recorded(artifact: Artifact) -> dict | None:
    """Read an artifact's provenance for its cost; None if missing, or if resumed, as its time is then partial."""
    record = read_if_whole(artifact.done)
    return record if isinstance(record.get("seconds"), int | float) and not record.get("resumed") else None


def collect_costs(plan: Plan, earlier: list[dict[str, str]]) -> list[dict]:
    """Add rows for artifacts that have none, and drop those of the same slug that are not planned any more.

    A row that is there stays, so making the same artifacts again changes nothing.
    """
    known, made = {(row["stage"], row["name"]) for row in earlier}, []
    for stage, artifacts in plan.artifacts.items():
        for name, artifact in artifacts.items():
            if (stage, name) not in known and (record := recorded(artifact)):
                row = record | (record.get("machine") or {}) | {"stage": stage, "name": name}
                made.append({column: row.get(column) for column in COLUMNS})
    slugs = {(row["stage"], _slug(row["name"])) for row in made}
    kept = [
        row
        for row in earlier
        if row["name"] in plan.artifacts.get(row["stage"], {}) or (row["stage"], _slug(row["name"])) not in slugs
    ]
    return sorted([*kept, *made], key=lambda row: (row["stage"], row["name"]))


def record_costs(plan: Plan) -> None:
    """Write what new artifacts cost; a run does not fail because it cannot."""
    path = costs_file(plan.params.scale)
    earlier = read_costs(path)
    rows = collect_costs(plan, earlier)

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    if rows != earlier:
        try:
            replace(path, write)
        except OSError as error:
            print(f"{path}: not written: {error.strerror}", file=sys.stderr)


class Estimate:
    """The expected seconds of artifacts, from rows of ``costs.csv`` of the same artifact, or of others like it."""

    def __init__(self, records: list[dict[str, str]]):
        self.recorded = defaultdict(list)
        for row in records:
            for likeness in (row["name"], _slug(row["name"]), ""):
                self.recorded[row["stage"], likeness].append(float(row["seconds"]))

    def seconds(self, artifact: Artifact) -> float | None:
        """Return the expected wall time on one core, or None if nothing similar was recorded."""
        for likeness in (artifact.name, artifact.slug, ""):
            if seconds := self.recorded.get((artifact.stage, likeness)):
                return mean(seconds)
        return None


def expected_seconds(scale: str, artifacts: Iterable[Artifact]) -> dict[Artifact, float]:
    """Return the expected seconds of artifacts, without those that no recorded cost of the scale is like."""
    estimate = Estimate(read_costs(costs_file(scale)))
    seconds = {artifact: estimate.seconds(artifact) for artifact in artifacts}
    return {artifact: value for artifact, value in seconds.items() if value is not None}


def time_left(
    pending: dict[Artifact, float], needs: Callable[[Artifact], Mapping[str, float]], have: Mapping[str, float]
) -> float:
    """Bound from below the seconds until pending artifacts are made, given the seconds that each still needs.

    The bound is the longest chain among them, or the demand for a shared resource: each `needs` so much of what
    they `have`. A resource that is not in `have` does not run out.
    """
    chains: dict[Artifact, float] = {}

    def chain(artifact: Artifact) -> float:
        if artifact not in chains:
            before = max((chain(source) for source in artifact.inputs.values()), default=0.0)
            chains[artifact] = before + pending.get(artifact, 0.0)
        return chains[artifact]

    queues = [
        sum(seconds * needs(artifact).get(name, 0) for artifact, seconds in pending.items()) / amount
        for name, amount in have.items()
    ]
    return max([*queues, *map(chain, pending)], default=0.0)


def describe(seconds: float) -> str:
    """Write a duration for people: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
