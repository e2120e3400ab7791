"""Publishing: stable copies of figures and tables for people, at ``results/figures`` and ``results/tables``.

They are copied together, once all of them are made, with a manifest that says from which artifact each file comes. The copies and
``results/figures/manifest.json`` are in git. A second copy of the manifest, under a name that carries the key of the whole set, goes with
the artifacts instead: where it is missing, the published files are of other params, or came with the repository, and are made anew.
What other params drew stays, and so does its record, under ``undrawn``.
"""

import csv
import json
import logging
import shutil
from pathlib import Path

from selectimprove.artifacts.keys import digest, module_digest
from selectimprove.artifacts.provenance import file_hash, read_record
from selectimprove.dag.artifact import RESULTS, collect_ancestors
from selectimprove.dag.costs import COLUMNS, COSTS, collect_costs, read_costs
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError

LOG = logging.getLogger(__name__)

FIGURE_SUFFIXES = ("png", "pdf", "svg", "csv", "md")
TABLE_SUFFIXES = ("csv", "md")
MANIFEST = RESULTS / "figures" / "manifest.json"
AUDIT = RESULTS / "audit"
AUDIT_FILES = ("claims.csv", "tests.csv")
PAGE = AUDIT / "index.html"
PAGE_MODULES = ("page", "excerpt", "shown_tests")
TEMPLATES = Path(__file__).parents[2] / "page"


def copies(plan: Plan) -> dict[Path, Path]:
    """Map each published file to the artifact's file that it is a copy of."""
    found = {}
    for folder, exhibits, suffixes in (
        ("figures", plan.figures, FIGURE_SUFFIXES),
        ("tables", plan.tables, TABLE_SUFFIXES),
    ):
        for name, artifact in exhibits.items():
            for suffix in suffixes:
                found[RESULTS / folder / f"{name}.{suffix}"] = artifact.folder / f"{name}.{suffix}"
    return found


def keyed_manifest(plan: Plan) -> Path:
    """Return the path of the manifest that is there only where these figures and tables were published."""
    names = [artifact.name for artifact in plan.exhibits.values()]
    return RESULTS / "published" / f"manifest-{digest(names)}.json"


def published_files(plan: Plan) -> list[str]:
    """List everything that `publish` writes."""
    manifests = (keyed_manifest(plan), MANIFEST)
    return [str(path) for path in (*manifests, RESULTS / "metrics.json", *copies(plan))]


def metrics(plan: Plan) -> dict:
    """Collect the tables' numbers from their artifacts, nested for ``dvc metrics``."""
    paths = {name: artifact.folder / "metrics.json" for name, artifact in plan.tables.items()}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def manifest(plan: Plan) -> dict:
    """Describe the published files: what each is a copy of, and the records of all that they were made from."""
    chain = {
        f"{artifact.stage}/{artifact.name}": [f"{source.stage}/{source.name}" for source in artifact.inputs.values()]
        for artifact in collect_ancestors(plan.exhibits.values())
    }
    return {
        "scale": plan.params.scale,
        "files": {
            str(target.relative_to(RESULTS)): {"from": str(source.relative_to(RESULTS)), "sha256": file_hash(target)}
            for target, source in copies(plan).items()
        },
        "made_from": chain,
        "provenance": {name: file_hash(RESULTS / name / "provenance.json") for name in chain},
    }


def undrawn(plan: Plan, before: dict) -> dict:
    """Keep what the manifest before said of figures and tables that these params do not draw, if they are still as published.

    Parameters
    ----------
    plan : Plan
    before : dict
        The manifest that was published last, by params of any kind.

    Returns
    -------
    dict
        ``files``, ``made_from`` and ``provenance``, as in `manifest`.
    """
    drawn = {str(target.relative_to(RESULTS)) for target in copies(plan)}
    parts = ("files", "made_from", "provenance")
    if before.get("scale") != plan.params.scale:
        before = {}
    known = {part: before.get("undrawn", {}).get(part, {}) | before.get(part, {}) for part in parts}
    files = {
        name: entry
        for name, entry in known["files"].items()
        if name not in drawn and (RESULTS / name).exists() and file_hash(RESULTS / name) == entry["sha256"]
    }
    chain, pending = [], [str(Path(entry["from"]).parent) for entry in files.values()]
    while pending:
        name = pending.pop()
        if name not in chain:
            chain.append(name)
            pending += known["made_from"][name]
    return {"files": files} | {part: {name: known[part][name] for name in sorted(chain)} for part in parts[1:]}


def _replace(target: Path, write) -> None:
    temporary = target.with_name(target.name + ".tmp")
    write(temporary)
    temporary.replace(target)


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_last_manifest() -> dict:
    """Read the manifest that was published last; a broken one is worth no run, and what it said of other params is lost."""
    if not MANIFEST.exists():
        return {}
    try:
        return read_record(MANIFEST)
    except ParamsError as error:
        LOG.warning("%s; written anew", error)
        return {}


def publish(plan: Plan) -> None:
    """Copy all figures and tables, and write ``results/metrics.json``, ``results/costs.csv`` and the manifests."""
    for target, source in copies(plan).items():
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, lambda temporary, source=source: shutil.copyfile(source, temporary))
    _replace(RESULTS / "metrics.json", lambda path: path.write_text(json.dumps(metrics(plan), indent=2) + "\n"))
    costs = collect_costs(plan, read_costs())
    _replace(COSTS, lambda path: _write_csv(path, costs))

    content = json.dumps(manifest(plan) | {"undrawn": undrawn(plan, read_last_manifest())}, indent=2) + "\n"
    current = keyed_manifest(plan)
    current.parent.mkdir(parents=True, exist_ok=True)
    for old in current.parent.glob("manifest-*.json"):
        old.unlink()
    for path in (MANIFEST, current):
        _replace(path, lambda temporary: temporary.write_text(content))


def audit_stamp(plan: Plan) -> Path:
    """Return the path of the file that is there only where this audit was published."""
    names = [artifact.name for artifact in (plan.verdicts, *plan.exhibits.values())]
    look = [*(module_digest(f"reports.{name}") for name in PAGE_MODULES), *map(file_hash, sorted(TEMPLATES.iterdir()))]
    return RESULTS / "published" / f"audit-{digest([*names, *look])}.json"


def audited_files(plan: Plan) -> list[str]:
    """List everything that `publish_audit` writes."""
    return [str(path) for path in (*(AUDIT / name for name in AUDIT_FILES), PAGE, audit_stamp(plan))]


def publish_audit(plan: Plan) -> None:
    """Copy the verdicts to ``results/audit``, and write the page there."""
    # Only here: what the page needs would slow down every start of Snakemake.
    from selectimprove.reports.page import write_page

    for name in AUDIT_FILES:
        source = plan.verdicts.folder / name
        _replace(AUDIT / name, lambda temporary, source=source: shutil.copyfile(source, temporary))
    page = write_page(plan)
    _replace(PAGE, lambda temporary: temporary.write_text(page))
    stamp = audit_stamp(plan)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    for old in stamp.parent.glob("audit-*.json"):
        old.unlink()
    content = {path.name: file_hash(path) for path in (*(AUDIT / name for name in AUDIT_FILES), PAGE)}
    _replace(stamp, lambda temporary: temporary.write_text(json.dumps(content, indent=2) + "\n"))
