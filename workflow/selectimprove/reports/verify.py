"""Verification that every result is what it says it is.

Every artifact's files hash to what was recorded when they were made. For each that the params ask for: it lies under the key of
today's config and source, its config and inputs are the plan's, and its record hashes to what was published. What needs no model is then made
again from its inputs and compared: problems, demonstrations, labels, measures, figures, tables and verdicts. Rollouts are rewarded anew,
pass@1 is counted a second time by other code, and training and test problems are compared by content. The published copies
must be those of the artifacts. Nothing is unpickled, and torch is not needed.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
from snakemake.exceptions import WorkflowError

from selectimprove.artifacts.provenance import file_hash, read_record
from selectimprove.dag.artifact import RESULTS
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports import page, publish
from selectimprove.reports.checks import check_artifact, check_files, has_record
from selectimprove.tasks.interface import load_aspect


def check_others(plan: Plan) -> Iterator[str]:
    """Check the files of the artifacts that today's params do not ask for, made under others."""
    for stage, artifacts in plan.artifacts.items():
        for done in sorted((RESULTS / stage).glob("*/provenance.json")):
            if done.parent.name not in artifacts and done.parent.suffix != ".partial":
                try:
                    yield from check_files(done.parent, read_record(done).get("files", {}))
                except ParamsError as error:
                    yield f"{error}; remove {done.parent}, which today's params do not ask for"


def check_leaks(plan: Plan) -> Iterator[str]:
    """Look for test problems among those of training, by content, whatever their type and labels."""
    found = defaultdict(dict)
    for artifact in plan.artifacts["problems"].values():
        config = artifact.config
        task = load_aspect(config.task_name, "problems")
        use = "test" if config.split == "test" else "training"
        for row in pd.read_parquet(artifact.folder / "problems.parquet").to_dict("records"):
            content = (config.task_name, config.task.slug, task.content_of(task.from_row(row)))
            found[use][content] = (artifact.folder, row["problem_id"])
    for content in found["test"].keys() & found["training"].keys():
        (test, at), (training, number) = found["test"][content], found["training"][content]
        yield f"{training}/problems.parquet: problem {number} is test problem {at} of {test.name}"


def check_published(plan: Plan) -> Iterator[str]:
    """Compare what people look at with the artifacts, the manifests and the metrics."""
    copies = {str(target): source for target, source in publish.copies(plan).items()}
    copies |= {str(publish.AUDIT / name): plan.verdicts.folder / name for name in publish.AUDIT_FILES}
    for target, source in copies.items():
        if not Path(target).exists():
            yield f"{target}: is missing; run `snakemake --cores all figures audit`"
        elif source.exists() and file_hash(Path(target)) != file_hash(source):
            yield f"{target}: is not the file of {source}"
    expected = publish.manifest(plan)
    for path in (publish.MANIFEST, publish.keyed_manifest(plan)):
        if not path.exists():
            yield f"{path}: is missing"
            continue
        try:
            manifest = read_record(path)
        except ParamsError as error:
            yield f"{error}; remove it and run `snakemake --cores all figures` to publish anew"
            continue
        for part in ("scale", "made_from"):
            if manifest.get(part) != expected[part]:
                yield f"{path}: {part} is not that of the params"
        for part in ("files", "provenance"):
            for name in sorted(manifest.get(part, {}).keys() | expected[part].keys()):
                if manifest.get(part, {}).get(name) != expected[part].get(name):
                    yield f"{path}: {name} is not as it was published"
        for name, entry in manifest.get("undrawn", {}).get("files", {}).items():
            if not (RESULTS / name).exists() or file_hash(RESULTS / name) != entry["sha256"]:
                yield f"{RESULTS / name}: is not as it was published, by other params than today's ({path})"
    if not publish.PAGE.exists():
        yield f"{publish.PAGE}: is missing; run `snakemake --cores all audit`"
    elif publish.PAGE.read_text() != page.write_page(plan):
        yield f"{publish.PAGE}: is not the page of these artifacts"
    try:
        metrics = read_record(RESULTS / "metrics.json")
    except ParamsError:
        metrics = None
    if metrics != publish.metrics(plan):
        yield f"{RESULTS / 'metrics.json'}: is not what the tables' artifacts hold"


def _silence() -> None:
    """Send what notebook kernels say on the way to nowhere; mismatches are returned, not printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def verify(plan: Plan, cores: int) -> list[str]:
    """Verify everything that the params ask for, and the files of what else there is.

    Parameters
    ----------
    plan : Plan
    cores : int
        Processes that check artifacts at once.

    Returns
    -------
    list of str
        One line per mismatch, ``file: reason``; empty if all is well.
    """
    artifacts = [artifact for stage in plan.artifacts.values() for artifact in stage.values()]
    with ProcessPoolExecutor(cores, initializer=_silence) as pool:
        mistakes = [line for found in pool.map(check_artifact, reversed(artifacts)) for line in found]
    mistakes += check_others(plan)
    if all(has_record(artifact) for artifact in artifacts):
        mistakes += check_leaks(plan)
        mistakes += check_published(plan)
    return mistakes


def require_verified(plan: Plan, cores: int, log: Path) -> None:
    """Verify, and leave the mismatches in a log.

    Raises
    ------
    WorkflowError
        With every mismatch, one line each.
    """
    mistakes = verify(plan, cores)
    log.write_text("".join(f"{line}\n" for line in mistakes))
    if mistakes:
        raise WorkflowError("\n".join(mistakes))
