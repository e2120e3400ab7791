"""Publish a figure, a table or the audit: copy the files, and record the artifacts behind them.

Snakemake runs ``python -m selectimprove.reports.publish`` as soon as a figure or table is drawn. The record is in git
beside the published files. It has their hashes and those of every artifact behind them, so a commit vouches for data
that git does not hold. It has no times, machine or commit: making the same results again does not change it.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

from selectimprove.artifacts.files import date_back, drop_temporaries, lock_folder, replace
from selectimprove.artifacts.provenance import RECORD, REPEAT, file_hash, read_if_whole, read_record, require_intact
from selectimprove.errors import ParamsError

EXECUTED = "notebook.ipynb"
"""The executed copy of a notebook, which holds the times of its cells."""


def hash_ancestors(artifacts: Iterable[Path]) -> dict[str, str]:
    """Hash the content of artifacts and everything behind them, by ``stage/name``. Missing artifacts end the walk."""
    found, pending = {}, list(artifacts)
    while pending:
        folder = pending.pop(0)
        name = f"{folder.parent.name}/{folder.name}"
        if name not in found and (content := hash_content(folder)):
            found[name], sources = content
            pending += sources
    return found


@cache
def hash_content(folder: Path) -> tuple[str, list[Path]] | None:
    """Hash an artifact's files, inputs and source as recorded, and find its inputs; None for an exported folder."""
    record = read_record(folder / RECORD, REPEAT)
    if "files" not in record:
        return None
    files = {file: content for file, content in record["files"].items() if file != EXECUTED}
    content = json.dumps([files, record["inputs"], record.get("source")], sort_keys=True)
    # A name ends with its key, so it belongs to one artifact.
    sources = (path for name in record["inputs"].values() for path in folder.parents[1].glob(f"*/{name}/{RECORD}"))
    return hashlib.sha256(content.encode()).hexdigest(), [path.parent for path in sources]


def describe(key: str, files: Iterable[Path], artifacts: Iterable[Path], root: Path) -> dict:
    """Return the record of published files: their hashes, and those of all artifacts behind them."""
    hashes = {str(file.relative_to(root)): file_hash(file) for file in files}
    return {"key": key, "files": hashes, "made_from": hash_ancestors(artifacts)}


def publish(
    key: str,
    files: dict[Path, Callable[[Path], object]],
    artifacts: list[Path],
    root: Path,
    unrecorded: dict[Path, Callable[[Path], object]],
) -> None:
    """Write files, each by its function, and their record; `unrecorded` files are shared with other publications."""
    name, folder = key.rpartition("-")[0], root / "published"
    record = folder / f"{key}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        drop_temporaries([*files, *unrecorded, record])
        for other in folder.glob(f"{name}-*.json"):
            # Records with other keys go first: a process killed here leaves no false record.
            if other.stem.rpartition("-")[0] == name:
                other.unlink()
        for target, write in (files | unrecorded).items():
            replace(target, write)
        content = json.dumps(describe(key, files, artifacts, root), indent=2) + "\n"
        replace(record, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    date_back(path / RECORD for path in artifacts)


def publish_exhibit(exhibit: Path, files: list[Path], root: Path) -> None:
    """Copy the files of a figure or table, and add its metrics to the file that all tables share."""
    # Nothing is published if the artifact or a record behind it is damaged.
    require_intact([exhibit])
    hash_ancestors([exhibit])
    metrics, shared = exhibit / "metrics.json", root / "metrics.json"

    def write_metrics(temporary: Path) -> None:
        added = {exhibit.name.rpartition("-")[0]: read_record(metrics)}
        content = dict(sorted((read_if_whole(shared) | added).items()))
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    copies = {file: partial(shutil.copyfile, exhibit / file.name) for file in files}
    publish(exhibit.name, copies, [exhibit], root, {shared: write_metrics} if metrics.exists() else {})


def publish_audit(params: str, key: str) -> None:
    """Copy the verdicts and write the page; `params` are JSON, and `key` is the one that Snakemake planned."""
    # Imported here, because figures and tables need no plan, and its import takes three times as long as the rest.
    from selectimprove.config.params import Params
    from selectimprove.dag.artifact import collect_ancestors
    from selectimprove.dag.plan import Plan
    from selectimprove.dag.rules import audit_publication
    from selectimprove.reports.page import write_page

    plan = Plan(Params.model_validate_json(params))
    audit = audit_publication(plan)
    if audit.key != key:
        raise ParamsError("audit: the code was edited after this run was planned; repeat the command, which plans anew")
    require_intact(artifact.folder for artifact in collect_ancestors(audit.artifacts))
    page = write_page(plan)
    files = {target: partial(shutil.copyfile, source) for target, source in audit.copies.items()}
    files[audit.page] = lambda temporary: temporary.write_text(page, encoding="utf-8")
    publish(key, files, [artifact.folder for artifact in audit.artifacts], audit.root, {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exhibit", type=Path, help="the folder of a figure or table")
    parser.add_argument("--root", type=Path, help="the folder below which its files lie")
    parser.add_argument("files", nargs="*", type=Path, help="the files to write")
    parser.add_argument("--audit", metavar="PARAMS", help="as JSON: publish the audit")
    parser.add_argument("--key", help="of the audit")
    options = parser.parse_args()
    try:
        if options.audit:
            publish_audit(options.audit, options.key)
        else:
            publish_exhibit(options.exhibit, options.files, options.root)
    except ParamsError as error:
        sys.exit(str(error))
