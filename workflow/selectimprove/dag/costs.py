"""Recorded costs of artifacts, and the time that a run is expected to take.

A run ends by adding the seconds of new artifacts to ``costs.csv``, beside the published files of its scale. The file of
the default scale is in git, so a new clone knows the times too.
"""

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import mean

from selectimprove.artifacts.files import replace
from selectimprove.artifacts.provenance import read_if_whole
from selectimprove.dag.artifact import Artifact, root_of
from selectimprove.dag.plan import Plan

COLUMNS = ("stage", "name", "seconds", "peak_memory_mib", "processor")


def costs_file(scale: str) -> Path:
    """Return the file with the costs of a scale."""
    return root_of(scale) / "costs.csv"


def read_costs(path: Path) -> list[dict[str, str]]:
    """Read recorded costs; none if the file cannot be read. Malformed lines are skipped."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        # Each line is parsed alone: an unclosed quotation mark would swallow the rest of the file.
        with suppress(ValueError, csv.Error):
            (fields,) = csv.reader([line])
            row = dict(zip(COLUMNS, fields, strict=True))
            if 0 <= float(row["seconds"]) < math.inf:
                rows.append(row)
    return rows


def _slug(name: str) -> str:
    return name.rpartition("-")[0]


def recorded(artifact: Artifact) -> dict | None:
    """Read the record of an artifact for its cost; None if it is missing, or resumed, since its time is partial."""
    record = read_if_whole(artifact.done)
    return record if isinstance(record.get("seconds"), int | float) and not record.get("resumed") else None


def collect_costs(plan: Plan, earlier: list[dict[str, str]]) -> list[dict]:
    """Add a row per artifact without one, and drop rows of the same slug that are no longer planned."""
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
    """Add the costs of new artifacts to the file; if it cannot be written, the run does not fail."""
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


def expected_seconds(scale: str, artifacts: Iterable[Artifact]) -> dict[Artifact, float]:
    """Return the mean recorded seconds of each artifact, or else of its slug, or else of its stage, if recorded."""
    known = defaultdict(list)
    for row in read_costs(costs_file(scale)):
        for group in (row["name"], _slug(row["name"]), ""):
            known[row["stage"], group].append(float(row["seconds"]))
    expected = {}
    for artifact in artifacts:
        groups = ((artifact.stage, group) for group in (artifact.name, artifact.slug, ""))
        if seconds := next((known[group] for group in groups if group in known), None):
            expected[artifact] = mean(seconds)
    return expected


def time_left(
    pending: dict[Artifact, float], needs: Callable[[Artifact], Mapping[str, float]], have: Mapping[str, float]
) -> float:
    """Return a lower bound on the seconds until all artifacts are made; `pending` has the seconds of each.

    It is the longest chain of inputs, or the longest queue for a resource of which we `have` an amount.
    """

    @cache
    def chain(artifact: Artifact) -> float:
        return pending.get(artifact, 0.0) + max(map(chain, artifact.inputs.values()), default=0.0)

    queues = [
        sum(seconds * needs(artifact).get(name, 0) for artifact, seconds in pending.items()) / amount
        for name, amount in have.items()
    ]
    return max([*queues, *map(chain, pending)], default=0.0)


def describe(seconds: float) -> str:
    """Format a duration: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
