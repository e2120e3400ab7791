"""What the DAG costs, from times recorded by earlier runs.

Every artifact's provenance holds the seconds that it took. The end of a run collects them in ``results/costs.csv``, which is in git, so that
a new clone knows them too. An artifact that was never made is taken to cost what others of its stage and slug did, else what
others of its stage did at this scale; where there are none, its cost is unknown.
"""

import csv
import logging
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from statistics import mean

from selectimprove.artifacts.provenance import read_record
from selectimprove.artifacts.writing import replace
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


def recorded(artifact: Artifact) -> dict | None:
    """Read the provenance of an artifact that is made, for what it cost.

    Returns
    -------
    dict or None
        None if there is none, it is broken, which verification will say, or it has the time of the last of several processes alone.
    """
    try:
        record = read_record(artifact.done)
    except ParamsError:
        return None
    return record if isinstance(record.get("seconds"), int | float) and not record.get("resumed") else None


def collect_costs(plan: Plan, earlier: list[dict[str, str]]) -> list[dict]:
    """List what each artifact of a plan cost when it was made, in place of earlier records of its slug that are of no artifact of the plan."""
    rows = []
    for stage, artifacts in plan.artifacts.items():
        for artifact in artifacts.values():
            record = recorded(artifact)
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
    made = {(row["stage"], row["name"]) for row in rows}
    slugs = {(stage, _slug(name)) for stage, name in made}
    for row in earlier:
        stage, name = row["stage"], row["name"]
        is_planned = name in plan.artifacts.get(stage, {})
        superseded = (stage, name) in made if is_planned else (stage, _slug(name)) in slugs
        if row["scale"] != plan.params.scale or not superseded:
            rows.append(row)
    return sorted(rows, key=lambda row: (row["scale"], row["stage"], row["name"]))


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def record_costs(plan: Plan) -> None:
    """Write what artifacts cost to ``results/costs.csv``; a file that cannot be written is no reason to fail."""
    earlier = read_costs()
    rows = collect_costs(plan, earlier)
    if [{key: str(value) for key, value in row.items()} for row in rows] == earlier:
        return
    try:
        replace(COSTS, lambda temporary: _write_csv(temporary, rows))
    except OSError as error:
        print(f"{COSTS}: not written: {error.strerror}", file=sys.stderr)


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


def time_left(
    pending: dict[Artifact, float], needs: Callable[[Artifact], Mapping[str, float]], have: Mapping[str, float]
) -> float:
    """Bound the time that pending artifacts take: for each resource the sum of what they take of it, and the longest chain among them.

    Parameters
    ----------
    pending : dict of Artifact to float
        Seconds that each still needs.
    needs : callable
        Gives what the job that makes an artifact takes of each resource.
    have : dict of str to float
        How much there is of each; of what is not named, enough.

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

    queues = [
        sum(seconds * needs(artifact).get(name, 0) for artifact, seconds in pending.items()) / amount
        for name, amount in have.items()
    ]
    return max([*queues, *map(chain, pending)], default=0.0)


def describe(seconds: float) -> str:
    """Say a duration as people do: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
