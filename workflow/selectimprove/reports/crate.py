"""Export the run as an RO-Crate with code, params, published files, and the config and record of each artifact.

``results/crate`` follows the profile Provenance Run Crate (https://w3id.org/ro/wfrun/provenance): the Snakefile is the
workflow, a stage is a step, its module is the tool, and every artifact is the result of an action. DVC shares the data;
records have their SHA-256.
"""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from selectimprove.artifacts.keys import module_path
from selectimprove.artifacts.provenance import RECORD, is_hidden, read_record
from selectimprove.dag.artifact import RESULTS, Artifact, collect_ancestors
from selectimprove.dag.plan import Plan
from selectimprove.dag.rules import audit_publication, publications
from selectimprove.dag.table import STAGES

ROOT = Path(__file__).parents[3]
CRATE = RESULTS / "crate"
TITLE = "Select and Improve, reproduced"
COMPLETED = "http://schema.org/CompletedActionStatus"


def build_crate(plan: Plan) -> ROCrate:
    """Describe a run whose figures, tables and audit are published; the date is that of the last artifact."""
    crate = ROCrate()
    ends = (*plan.audited.values(), plan.verdicts)
    records = {artifact: read_record(artifact.done) for artifact in collect_ancestors(ends)}
    datasets = {artifact: _add_dataset(crate, artifact) for artifact in records}
    times = {artifact: _times(record) for artifact, record in records.items()}
    files = _add_published(crate, plan, datasets)
    files_of_code = (path for path in (ROOT / "workflow").rglob("*") if path.is_file() and path.suffix != ".pyc")
    for path in sorted(path for path in files_of_code if not is_hidden(path.relative_to(ROOT))):
        kinds = ["File", "SoftwareSourceCode"] if path.suffix == ".py" else "File"
        _add_file(crate, path, str(path.relative_to(ROOT)), **{"@type": kinds})
    used = [stage for stage in STAGES.values() if any(artifact.stage == stage.name for artifact in records)]
    tools = {stage.name: crate.get(str(module_path(stage.module).relative_to(ROOT))) for stage in used}
    steps = {
        name: _add(crate, f"#step-{name}", "HowToStep", position=str(position), name=name, workExample=tool)
        for position, (name, tool) in enumerate(tools.items())
    }
    snakefile = {"@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"], "name": TITLE}
    workflow = crate.add_workflow(ROOT / "Snakefile", "Snakefile", main=True, lang="snakemake", properties=snakefile)
    workflow["hasPart"], workflow["step"] = list(tools.values()), list(steps.values())
    params = _add_file(crate, ROOT / "params.yaml", "params.yaml", encodingFormat="application/yaml")
    began, ended = min(start for start, _ in times.values()), max(end for _, end in times.values())
    whole = {"name": "snakemake figures audit", "startTime": began, "endTime": ended}
    run = crate.add_action(workflow, identifier="#run", object=[params], result=files, properties=whole)
    controls = []
    for artifact, record in records.items():
        sources = [datasets[source] for source in artifact.inputs.values()]
        commit = _add(crate, f"#commit-{record['commit']}", "PropertyValue", name="commit", value=str(record["commit"]))
        versions = [
            _add(crate, f"#{package}-{version}", "SoftwareApplication", name=package, softwareVersion=version)
            for package, version in record["versions"].items()
        ]
        making = {"name": f"Making {artifact.stage}/{artifact.name}", "softwareRequirements": versions}
        making |= {"startTime": times[artifact][0], "endTime": times[artifact][1], "actionStatus": COMPLETED}
        action = crate.add_action(
            tools[artifact.stage],
            identifier=f"#make-{artifact.name}",
            object=[datasets[artifact]["hasPart"][0], commit, *sources],
            result=[datasets[artifact]],
            properties=making,
        )
        running = {"name": f"Running {artifact.stage}", "instrument": steps[artifact.stage], "object": action}
        controls.append(_add(crate, f"#control-{artifact.name}", "ControlAction", **running))
    engine = _add(crate, "#snakemake", "SoftwareApplication", name="Snakemake", url="https://snakemake.github.io")
    whole = {"name": "Running the DAG", "instrument": engine, "object": controls, "result": run}
    _add(crate, "#orchestration", "OrganizeAction", **whole)
    for name in ("process", "workflow", "provenance"):
        address, title = f"https://w3id.org/ro/wfrun/{name}/0.5", f"{name.capitalize()} Run Crate"
        crate.root_dataset.append_to("conformsTo", _add(crate, address, "CreativeWork", name=title, version="0.5"))
    seeds = ", ".join(map(str, plan.params.seeds))
    crate.name = TITLE
    crate.description = f"Reproduction of arXiv:2606.13125 at {plan.params.scale} scale, seeds {seeds}"
    crate.license = "https://spdx.org/licenses/MIT"
    crate.datePublished = datetime.fromisoformat(ended)
    return crate


def _add(crate: ROCrate, identifier: str, kind: str, **properties) -> Entity:
    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _add_file(crate: ROCrate, path: Path, name: str, **properties) -> Entity:
    return crate.add_file(path, name, properties={"name": name, **properties})


def _times(record: dict) -> tuple[str, str]:
    started = datetime.fromisoformat(record["started"])
    return started.isoformat(), (started + timedelta(seconds=record["seconds"])).isoformat()


def _add_dataset(crate: ROCrate, artifact: Artifact) -> Entity:
    """Add the config and the record of an artifact as a dataset."""
    folder = f"artifacts/{artifact.stage}/{artifact.name}"
    properties = {"name": artifact.name, "description": f"Config and record of {artifact.folder}"}
    dataset = crate.add_dataset(dest_path=f"{folder}/", properties=properties)
    for name in ("config.json", RECORD):
        file = _add_file(crate, artifact.folder / name, f"{folder}/{name}", encodingFormat="application/json")
        dataset.append_to("hasPart", file)
    return dataset


def _add_published(crate: ROCrate, plan: Plan, datasets: dict[Artifact, Entity]) -> list[Entity]:
    """Add the published files, each copy as a part of its artifact too."""
    offered, files = publications(plan), []
    for publication in (*(offered[name] for name in plan.audited), audit_publication(plan)):
        for path in publication.files:
            files.append(_add_file(crate, path, str(path.relative_to(RESULTS))))
            if path in publication.copies:
                datasets[publication.artifacts[0]].append_to("hasPart", files[-1])
    return files


def export_crate(plan: Plan) -> None:
    """Write the crate to ``results/crate``, all of it or nothing."""
    partial = CRATE.with_name(f"{CRATE.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    build_crate(plan).write(partial)
    shutil.rmtree(CRATE, ignore_errors=True)
    partial.replace(CRATE)
