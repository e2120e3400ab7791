"""The run as an RO-Crate: which action made what from what, with which code, config, commit and versions.

``results/crate`` follows the profile Provenance Run Crate (https://w3id.org/ro/wfrun/provenance): the Snakefile is the workflow, a stage is
a step, its module the tool, and every artifact the result of an action. It holds the code, the params, figures and tables, the audit, and
each artifact's config and record; the record has the SHA-256 of every file, and the data themselves go through DVC.
"""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from selectimprove.artifacts.keys import module_path
from selectimprove.artifacts.provenance import RECORD, read_record
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.reports.publishing.publications import audit_publication, publications

ROOT = Path(__file__).parents[3]
CRATE = RESULTS / "crate"
PROFILES = {
    f"https://w3id.org/ro/wfrun/{name}/0.5": f"{name.capitalize()} Run Crate"
    for name in ("process", "workflow", "provenance")
}


class _Builder:
    """Adds the entities of a run to a crate, each once."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.crate = ROCrate()
        self.provenances: dict[Artifact, dict] = {}
        self.datasets: dict[Artifact, Entity] = {}

    def context(self, identifier: str, kind: str, **properties) -> Entity:
        return self.crate.add(ContextEntity(self.crate, identifier, properties={"@type": kind, **properties}))

    def times(self, artifact: Artifact) -> tuple[str, str]:
        provenance = self.provenances[artifact]
        started = datetime.fromisoformat(provenance["started"])
        return started.isoformat(), (started + timedelta(seconds=provenance["seconds"])).isoformat()

    def add_artifact(self, artifact: Artifact) -> Entity:
        """Add an artifact and all that it was made from, as datasets."""
        if artifact in self.datasets:
            return self.datasets[artifact]
        for source in artifact.inputs.values():
            self.add_artifact(source)
        self.provenances[artifact] = read_record(artifact.done)
        folder = f"artifacts/{artifact.stage}/{artifact.name}"
        dataset = self.crate.add_dataset(
            dest_path=f"{folder}/",
            properties={
                "name": artifact.name,
                "description": f"Config and record of results/{artifact.stage}/{artifact.name}",
            },
        )
        for name in ("config.json", RECORD):
            properties = {"encodingFormat": "application/json", "name": name}
            dataset.append_to(
                "hasPart", self.crate.add_file(artifact.folder / name, f"{folder}/{name}", properties=properties)
            )
        self.datasets[artifact] = dataset
        return dataset

    def add_exhibits(self) -> list[Entity]:
        """Add the published files, each as a part of the artifact that it is a copy of."""
        by_folder = {artifact.folder: dataset for artifact, dataset in self.datasets.items()}
        files = []
        offered = publications(self.plan)
        for publication in (*(offered[name] for name in self.plan.exhibits), audit_publication(self.plan)):
            for path in publication.files:
                name = str(path.relative_to(RESULTS))
                file = self.crate.add_file(path, name, properties={"name": name})
                if source := publication.copies.get(path):
                    by_folder[source.parent].append_to("hasPart", file)
                files.append(file)
        return files

    def add_tools(self) -> dict[str, tuple[Entity, Entity]]:
        """Add the module and the step of each stage that was run."""
        tools = {}
        stages = {artifact.stage for artifact in self.datasets}
        for position, (stage, row) in enumerate(STAGES.items()):
            if stage in stages:
                path = str(module_path(row.module).relative_to(ROOT))
                kinds = {"@type": ["File", "SoftwareSourceCode"], "name": f"selectimprove.{row.module}"}
                tool = self.crate.add_file(ROOT / path, path, properties=kinds)
                step = self.context(f"#step-{stage}", "HowToStep", position=str(position), name=stage, workExample=tool)
                tools[stage] = (tool, step)
        return tools

    def add_environment(self, artifact: Artifact) -> list[Entity]:
        """Add the versions of the packages that made an artifact."""
        versions = self.provenances[artifact]["versions"]
        return [
            self.context(f"#{package}-{version}", "SoftwareApplication", name=package, softwareVersion=version)
            for package, version in versions.items()
        ]

    def add_action(self, artifact: Artifact, tool: Entity) -> Entity:
        """Add the action that made an artifact."""
        provenance, (started, ended) = self.provenances[artifact], self.times(artifact)
        dataset = self.datasets[artifact]
        commit = self.context(
            f"#commit-{provenance['commit']}", "PropertyValue", name="commit", value=str(provenance["commit"])
        )
        config = dataset["hasPart"][0]
        return self.crate.add_action(
            tool,
            identifier=f"#make-{artifact.name}",
            object=[config, commit, *(self.datasets[source] for source in artifact.inputs.values())],
            result=[dataset],
            properties={
                "name": f"Making {artifact.stage}/{artifact.name}",
                "startTime": started,
                "endTime": ended,
                "actionStatus": "http://schema.org/CompletedActionStatus",
                "softwareRequirements": self.add_environment(artifact),
            },
        )


def build_crate(plan: Plan) -> ROCrate:
    """Describe a run whose exhibits and audit are published.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    ROCrate
        A function of the plan and the artifacts: its date is when the last artifact was made.
    """
    builder = _Builder(plan)
    crate = builder.crate
    for artifact in (*plan.exhibits.values(), plan.verdicts):
        builder.add_artifact(artifact)
    files = builder.add_exhibits()
    tools = builder.add_tools()
    workflow = crate.add_workflow(
        ROOT / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        properties={
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "Select and Improve, reproduced",
        },
    )
    workflow["hasPart"] = [tool for tool, _ in tools.values()]
    workflow["step"] = [step for _, step in tools.values()]
    params = crate.add_file(
        ROOT / "params.yaml", "params.yaml", properties={"name": "params.yaml", "encodingFormat": "application/yaml"}
    )
    for path in sorted((ROOT / "workflow").rglob("*")):
        name = str(path.relative_to(ROOT))
        if path.is_file() and path.suffix != ".pyc" and crate.get(name) is None:
            crate.add_file(path, name, properties={"name": name})

    began, ended = zip(*(builder.times(artifact) for artifact in builder.datasets), strict=True)
    run = crate.add_action(
        workflow,
        identifier="#run",
        object=[params],
        result=files,
        properties={"name": "snakemake figures audit", "startTime": min(began), "endTime": max(ended)},
    )
    crate.root_dataset["mentions"] = [run]
    controls = []
    for artifact in builder.datasets:
        tool, step = tools[artifact.stage]
        action = builder.add_action(artifact, tool)
        crate.root_dataset.append_to("mentions", action)
        controls.append(
            builder.context(
                f"#control-{artifact.name}",
                "ControlAction",
                name=f"Running {artifact.stage}",
                instrument=step,
                object=action,
            )
        )
    engine = builder.context("#snakemake", "SoftwareApplication", name="Snakemake", url="https://snakemake.github.io")
    builder.context(
        "#orchestration", "OrganizeAction", name="Running the DAG", instrument=engine, object=controls, result=run
    )
    for identifier, name in PROFILES.items():
        profile = builder.context(identifier, "CreativeWork", name=name, version="0.5")
        crate.root_dataset.append_to("conformsTo", profile)
    crate.name = "Select and Improve, reproduced"
    crate.description = (
        f"Reproduction of arXiv:2606.13125 at {plan.params.scale} scale, seeds {', '.join(map(str, plan.params.seeds))}"
    )
    crate.license = "https://spdx.org/licenses/MIT"
    crate.datePublished = datetime.fromisoformat(max(ended))
    return crate


def export_crate(plan: Plan) -> None:
    """Write the crate to ``results/crate``, all of it or nothing."""
    partial = CRATE.with_name(f"{CRATE.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    build_crate(plan).write(partial)
    shutil.rmtree(CRATE, ignore_errors=True)
    partial.replace(CRATE)
