"""Verify artifacts and published files.

Each artifact has the config, inputs and source of the plan and files with the recorded hashes, and its inputs still
give it (`selectimprove.reports.remaking`). No test problem is among the training problems. Published files are those of
the artifacts. Nothing is unpickled, and only ``verify.spot`` needs torch.
"""

import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from selectimprove.analysis.claims import CLAIMS
from selectimprove.artifacts.arithmetic import processor_info
from selectimprove.artifacts.provenance import RECORD, file_hash, read_if_whole, read_record, run_git
from selectimprove.dag.artifact import RESULTS, Artifact, collect_ancestors, root_of, snakemake_command
from selectimprove.dag.forecast import explain
from selectimprove.dag.plan import Plan
from selectimprove.dag.rules import Publication, audit_publication, publications
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError
from selectimprove.reports.page import write_page
from selectimprove.reports.publish import describe, hash_content
from selectimprove.reports.remaking import BROKEN, check_artifact, check_files, draw_spot, has_record
from selectimprove.tasks.interface import load_task


def asked_for(plan: Plan) -> list[Artifact]:
    """List the artifacts behind ``verify.only`` or, if empty, behind the verdicts and default or drawn exhibits."""
    if plan.params.verify.only:
        return collect_ancestors(plan.ends_of(plan.params.verify.only))
    others = [artifact for artifact in plan.all_exhibits.values() if artifact.done.exists()]
    # Starts at the end of the DAG, where checks take longest.
    return collect_ancestors((plan.verdicts, *plan.audited.values(), *others))


def check_missing(plan: Plan, missing: list[Artifact], remedy: str) -> Iterator[str]:
    """Name missing artifacts in the order in which they would be made; for a stage with many, only the first."""
    for stage in STAGES:
        of_stage = [artifact for artifact in reversed(missing) if artifact.stage == stage]
        more = f" and {len(of_stage) - 1} more of {stage}" if len(of_stage) > 3 else ""
        expected = f"missing: expected for the current params and code; run `{remedy}`"
        for artifact in of_stage[:1] if more else of_stage:
            yield f"{artifact.folder}{more}: {expected} ({explain(artifact, plan.artifacts[stage])})"


def check_others(checked: set[Path]) -> Iterator[str]:
    """Check the files of all other artifacts, which other params or other code made."""
    for stage in STAGES:
        for done in sorted((RESULTS / stage).glob(f"*/{RECORD}")):
            if done.parent not in checked and done.parent.suffix != ".partial":
                try:
                    yield from check_files(done.parent, read_record(done).get("files", {}))
                except ParamsError as error:
                    yield f"{error}; remove {done.parent}, which today's params do not ask for"


def check_leaks(checked: Iterable[Artifact]) -> Iterator[str]:
    """Look for test problems among the training problems, by content, whatever their type and labels."""
    found = defaultdict(dict)
    for artifact in (artifact for artifact in checked if artifact.stage == "problems"):
        config = artifact.config
        task = load_task(config.task_name)
        # A split depends on the settings; no model sees problems of two settings.
        settings = config.task.model_dump_json()
        use = "test" if config.split == "test" else "training"
        for row in pd.read_parquet(artifact.folder / "problems.parquet").to_dict("records"):
            content = (config.task_name, settings, task.content_of(task.from_row(row)))
            found[use][content] = (artifact.folder, row["problem_id"])
    for content in found["test"].keys() & found["training"].keys():
        (test, at), (training, number) = found["test"][content], found["training"][content]
        yield f"{training}/problems.parquet: problem {number} is test problem {at} of {test.name}"


def published(plan: Plan) -> list[Publication]:
    """List the publications of ``verify.only`` or, if empty, the audit, default exhibits and others with a record."""
    offered, only = publications(plan), plan.params.verify.only
    if only:
        chosen = {exhibit for name in only for exhibit in plan.targets[name]}
        return [one for name, one in offered.items() if name in chosen]
    drawn = [one for name, one in offered.items() if name in plan.audited or one.record.exists()]
    return [*drawn, audit_publication(plan)]


def check_published(plan: Plan, compared: list[Publication]) -> Iterator[str]:
    """Compare published files with their artifacts; without ``verify.only``, compare all others with their records."""
    for publication in compared:
        yield from check_publication(publication)
        page = publication.page
        if page and page.exists() and page.read_text(encoding="utf-8") != write_page(plan):
            yield f"{page}: is not the page of these artifacts; run `{publication.remedy}`"
        if publication.kind == "tables":
            (table,), target = publication.artifacts, publication.root / "metrics.json"
            source = table.folder / "metrics.json"
            if source.exists() and read_if_whole(target).get(publication.name) != read_if_whole(source):
                yield f"{target}: {publication.name} is not what {table.folder} holds; run `{publication.remedy}`"
    if not plan.params.verify.only:
        root = root_of(plan.params.scale)
        others = set((root / "published").glob("*.json")) - {publication.record for publication in compared}
        for record in sorted(others):
            for name, expected in read_if_whole(record).get("files", {}).items():
                if not (root / name).exists() or file_hash(root / name) != expected:
                    yield f"{root / name}: is not as it was published ({record})"


def check_publication(publication: Publication) -> list[str]:
    """Compare published files with the artifacts that they show, and with their record."""
    run, found = f"run `{publication.remedy}`", []
    for target in publication.files:
        source = publication.copies.get(target)
        if not target.exists():
            found.append(f"{target}: is missing; {run}")
        elif source and source.exists() and file_hash(target) != file_hash(source):
            found.append(f"{target}: is not the file of {source.parent}; {run}")
    if found:
        return found
    folders = [artifact.folder for artifact in publication.artifacts]
    if read_if_whole(publication.record) == describe(publication.key, publication.files, folders, publication.root):
        return []
    return [f"{publication.record}: does not record what is published and what it was made from; {run}"]


def as_far_as_possible(check: Iterator[str], what: str) -> Iterator[str]:
    """Yield the mistakes that a check finds; if it cannot read something, end with a line that says so."""
    try:
        yield from check
    except BROKEN as error:
        yield f"{what}: not checked to the end: {type(error).__name__}: {error}"


def _silence() -> None:
    """Discard what notebook kernels print; mistakes are returned, not printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def describe_trust(plan: Plan, there: list[Artifact], confirmed: set[Artifact]) -> Iterator[str]:
    """Say what a verification rests on: what was not made again, what is not compared, and when claims were fixed."""

    def count(artifacts: Iterable[Artifact]) -> str:
        stages = Counter(artifact.stage for artifact in artifacts)
        return ", ".join(f"{stages[stage]} of {stage}" for stage in STAGES if stages[stage]) or "none"

    whole = {artifact for artifact in confirmed if confirmed.issuperset(collect_ancestors([artifact]))}
    yield f"made again with all that is behind them: {count(whole)}"
    yield f"made again from inputs that are taken on trust: {count(confirmed - whole)}"
    yield f"taken on trust, as recorded: {count(set(there) - confirmed)} (verify.spot makes them again)"
    yield "not vouched for: times and machines in records, and costs.csv"
    records = [read_if_whole(artifact.done) for artifact in there]
    processors = Counter((record.get("machine") or {}).get("processor") for record in records)
    if set(processors) - {here := processor_info("model name")}:
        made_on = ", ".join(f"{number} on {name}" for name, number in processors.most_common())
        yield f"made elsewhere: {made_on}; this is {here}"
    if plan.verdicts in there:
        first = min(str(record.get("started")) for record in records)
        yield f"claims and their margins: {CLAIMS.name} {_last_changed(CLAIMS)}; the first of these runs began {first}"


def _last_changed(path: Path) -> str:
    try:
        if run_git(path.parent, "status", "--porcelain", "--", path.name):
            return "differs from the last commit"
        return f"was last changed {run_git(path.parent, 'log', '-1', '--format=%cI (%h)', '--', path.name)}"
    except (OSError, subprocess.CalledProcessError):
        return "is not in git, so nobody knows when it changed"


def verify(plan: Plan, cores: int) -> list[str]:
    """Verify the plan and the files of all other artifacts; return a line per mistake, ``file: reason``."""
    hash_content.cache_clear()
    artifacts, params, mistakes, drawn = asked_for(plan), plan.params, [], []
    if asked := params.verify.model_dump(exclude_defaults=True):
        print(f"verify: {', '.join(f'{name} {value}' for name, value in asked.items())}")
    # What is missing is said before minutes of hashing.
    if missing := [artifact for artifact in artifacts if not artifact.done.exists()]:
        remedy = snakemake_command(params.scale, *(params.verify.only or ("figures", "audit")))
        mistakes += check_missing(plan, missing, remedy)
        said = f"{len(missing)} of {len(artifacts)} artifacts are missing"
        advice = "to verify only a figure, a table or an experiment: --config 'verify={only: [table1]}'"
        audit = "to audit and verify only the main experiment: --config 'audit={experiments: [main]}'"
        print(said, *mistakes, advice, audit, sep="\n", flush=True)
    try:
        drawn = draw_spot(plan, artifacts, cores)
    except ParamsError as error:
        mistakes.append(str(error))
    # Spot checks go first, since training takes longest.
    there = sorted((a for a in artifacts if a not in missing), key=lambda artifact: artifact not in drawn)
    check, confirmed = partial(check_artifact, params.scale, params.resources, params.verify.checkpoints), set()
    with ProcessPoolExecutor(cores, initializer=_silence) as pool:
        checks = pool.map(check, there, [artifact in drawn for artifact in there])
        for artifact, found in zip(there, checks, strict=True):
            mistakes += found.mistakes
            if found.confirmed:
                confirmed.add(artifact)
            if artifact in drawn:
                outcome = "the same, made again" if found.confirmed else "not confirmed"
                print(f"  {outcome}: {artifact.folder}", flush=True)
    if not params.verify.only:
        mistakes += check_others({artifact.folder for artifact in artifacts})
    sound = {artifact for artifact in there if has_record(artifact)}
    mistakes += as_far_as_possible(check_leaks(sound), "test problems among training problems")
    compared = [one for one in published(plan) if sound.issuperset(collect_ancestors(one.artifacts))]
    mistakes += as_far_as_possible(check_published(plan, compared), "published files")
    print(*describe_trust(plan, there, confirmed), sep="\n")
    if not mistakes:
        again = f"{len(confirmed)} of them made again with the same result, and {len(compared)} publications"
        print(f"verified: {len(there)} artifacts, {again}")
    return mistakes
