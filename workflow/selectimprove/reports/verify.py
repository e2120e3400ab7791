"""Verification that every result is what it says it is.

Every artifact's files hash to what was recorded when they were made. For each that the params ask for: it lies under the key of
today's config and source, its config and inputs are the plan's, and its record hashes to what was published. What needs no model is then made
again from its inputs and compared: problems, demonstrations, labels, measures, figures, tables and verdicts. Rollouts are rewarded anew,
pass@1 is counted a second time by other code, and training and test problems are compared by content. The published copies
must be those of the artifacts. Nothing is unpickled, and torch is not needed. What a model made is taken as recorded, unless ``verify.spot`` of the
params asks for some of it to be made again (`selectimprove.reports.spot`).
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
from snakemake.exceptions import WorkflowError

from selectimprove.artifacts.provenance import RECORD, file_hash, read_record
from selectimprove.dag.artifact import RESULTS, Artifact, collect_ancestors
from selectimprove.dag.changes import explain
from selectimprove.dag.command import snakemake_command
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError
from selectimprove.reports.checks import BROKEN, check_artifact, check_files, has_record
from selectimprove.reports.page import write_page
from selectimprove.reports.publishing.committed import changes_since_commit
from selectimprove.reports.publishing.publications import Publication, audit_publication, publications, root_of
from selectimprove.reports.publishing.records import read_if_whole
from selectimprove.reports.spot import spot_check
from selectimprove.tasks.interface import load_task

FEW = 3
"""Missing artifacts of a stage that are named each."""


def asked_for(plan: Plan) -> list[Artifact]:
    """List what stands behind ``verify.only``; without it, behind the verdicts, what is drawn by default, and of the rest what has been drawn."""
    if plan.params.verify.only:
        return collect_ancestors(plan.ends_of(plan.params.verify.only))
    others = [artifact for artifact in plan.all_exhibits.values() if artifact.done.exists()]
    # From the end of the DAG, where checks take longest.
    return collect_ancestors((plan.verdicts, *plan.exhibits.values(), *others))


def check_missing(missing: list[Artifact], remedy: str) -> Iterator[str]:
    """Name artifacts that are not there, in the order in which they would be made; of many of a stage the first alone."""
    for stage in STAGES:
        of_stage = [artifact for artifact in reversed(missing) if artifact.stage == stage]
        more = f" and {len(of_stage) - 1} more of {stage}" if len(of_stage) > FEW else ""
        for artifact in of_stage[:1] if more else of_stage:
            yield (
                f"{artifact.folder}{more}: missing: expected for the current params and code; run `{remedy}` "
                f"({explain(artifact)})"
            )


def check_others(checked: set[Path]) -> Iterator[str]:
    """Check the files of all other artifacts, made by other params."""
    for stage in STAGES:
        for done in sorted((RESULTS / stage).glob(f"*/{RECORD}")):
            if done.parent not in checked and done.parent.suffix != ".partial":
                try:
                    yield from check_files(done.parent, read_record(done).get("files", {}))
                except ParamsError as error:
                    yield f"{error}; remove {done.parent}, which today's params do not ask for"


def check_leaks(checked: list[Artifact]) -> Iterator[str]:
    """Look for test problems among those of training, by content, whatever their type and labels."""
    found = defaultdict(dict)
    for artifact in (artifact for artifact in checked if artifact.stage == "problems"):
        config = artifact.config
        task = load_task(config.task_name)
        # With other settings, say other shares, a problem may be of another split; no model sees problems of two.
        settings = config.task.model_dump_json()
        use = "test" if config.split == "test" else "training"
        for row in pd.read_parquet(artifact.folder / "problems.parquet").to_dict("records"):
            content = (config.task_name, settings, task.content_of(task.from_row(row)))
            found[use][content] = (artifact.folder, row["problem_id"])
    for content in found["test"].keys() & found["training"].keys():
        (test, at), (training, number) = found["test"][content], found["training"][content]
        yield f"{training}/problems.parquet: problem {number} is test problem {at} of {test.name}"


def check_published(plan: Plan, sound: set[Artifact]) -> Iterator[str]:
    """Compare what people look at with the artifacts and the records.

    Parameters
    ----------
    plan : Plan
    sound : set of Artifact
        What is there, with a record; what stands on another is not compared.
    """
    offered, audit = publications(plan), audit_publication(plan)
    only = plan.params.verify.only
    if only:
        chosen = {exhibit for name in only for exhibit in plan.targets[name]}
        asked = [one for name, one in offered.items() if name in chosen]
    else:
        # What is not drawn by default may be published all the same, and its artifacts may be elsewhere.
        asked = [one for name, one in offered.items() if name in plan.exhibits or one.record.exists()]
        asked.append(audit)
    compared = [publication for publication in asked if sound.issuperset(collect_ancestors(publication.artifacts))]
    for publication in compared:
        yield from check_publication(publication)
    if audit in compared and all(path.exists() for path in audit.files):
        page, published = audit.composed[0], audit.composed[0].read_text(encoding="utf-8")
        if published != write_page(plan):
            yield f"{page}: is not the page of these artifacts; run `rm {page} && {audit.remedy}`"
    yield from check_metrics(plan, [publication for publication in compared if publication.name in plan.tables])
    if only:
        return
    others = set((audit.root / "published").glob("*.json")) - {publication.record for publication in compared}
    for record in sorted(others):
        for name, expected in read_if_whole(record).get("files", {}).items():
            path = audit.root / name
            if not path.exists() or file_hash(path) != expected:
                yield f"{path}: is not as it was published ({record})"


def check_publication(publication: Publication) -> Iterator[str]:
    """Compare published files with the artifacts that they show, and with their record."""
    run, found = f"run `{publication.remedy}`", False
    for target, source in publication.copies.items():
        if not target.exists():
            yield f"{target}: is missing; {run}"
        elif source.exists() and file_hash(target) != file_hash(source):
            yield f"{target}: is not the file of {source.parent}; {run}"
        else:
            continue
        found = True
    for target in publication.composed:
        if not target.exists():
            yield f"{target}: is missing; {run}"
            found = True
    if not found and not publication.is_current():
        yield f"{publication.record}: does not record what is published and what it was made from; {run}"


def check_metrics(plan: Plan, tables: list[Publication]) -> Iterator[str]:
    """Compare published tables' metrics with those of their artifacts."""
    for table in tables:
        folder, target = plan.tables[table.name].folder, table.root / "metrics.json"
        source = folder / "metrics.json"
        if source.exists() and read_if_whole(target).get(table.name) != read_if_whole(source):
            yield f"{target}: {table.name} is not what {folder} holds; run `rm {table.record} && {table.remedy}`"


def as_far_as_possible(check: Iterator[str], what: str) -> Iterator[str]:
    """Pass on what a check finds; what it cannot read ends it with a line more, and not the verification."""
    try:
        yield from check
    except BROKEN as error:
        yield f"{what}: not looked at to the end: {type(error).__name__}: {error}"


def _silence() -> None:
    """Send what notebook kernels say on the way to nowhere; mismatches are returned, not printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def verify(plan: Plan, cores: int, say: Callable[[str], None] = print) -> list[str]:
    """Verify everything that the params ask for, and the files of what else there is.

    Parameters
    ----------
    plan : Plan
    cores : int
        Processes that check artifacts at once.
    say : callable
        Is told what is no mismatch: the draw of a spot check, and what was published since the last commit.

    Returns
    -------
    list of str
        One line per mismatch, ``file: reason``; empty if all is well.
    """
    artifacts, scale = asked_for(plan), plan.params.scale
    there = [artifact for artifact in artifacts if artifact.done.exists()]
    with ProcessPoolExecutor(cores, initializer=_silence) as pool:
        mistakes = [line for found in pool.map(partial(check_artifact, scale=scale), there) for line in found]
    if not plan.params.verify.only:
        mistakes += check_others({artifact.folder for artifact in artifacts})
    sound = [artifact for artifact in there if has_record(artifact)]
    mistakes += as_far_as_possible(check_leaks(sound), "test problems among those of training")
    mistakes += as_far_as_possible(check_published(plan, set(sound)), "published files")
    missing = [artifact for artifact in artifacts if artifact not in there]
    mistakes += check_missing(missing, snakemake_command(scale, *(plan.params.verify.only or ("figures", "audit"))))
    if missing:
        say(
            f"{len(missing)} of {len(artifacts)} artifacts are missing; to verify only what stands behind a figure, table or experiment: "
            "--config 'verify={only: [table1]}'"
        )
    for line in changes_since_commit(root_of(plan.params.scale)):
        say(line)
    if plan.params.verify.spot:
        mistakes += spot_check(plan, artifacts, cores, say)
    return mistakes


def require_verified(plan: Plan, cores: int, log: Path) -> None:
    """Verify, print what is no mismatch, and leave all in a log.

    Raises
    ------
    WorkflowError
        With every mismatch, one line each.
    """
    lines = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    mistakes = verify(plan, cores, say)
    log.write_text("".join(f"{line}\n" for line in [*lines, *mistakes]), encoding="utf-8")
    if mistakes:
        raise WorkflowError("\n".join(mistakes))
