"""Stages and publications as Snakemake's rules: their inputs, outputs, priorities and commands.

A publication is a figure, a table or the audit, copied out of its artifacts, and a record. The default scale publishes
to ``results/figures``, ``results/tables`` and ``results/audit``, which are in git; other scales publish to the same
folders below ``results/<scale>``. The record, ``published/<name>-<key>.json``, is an output of the rule that publishes,
so Snakemake sees by its name whether the current artifact is published.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient
from snakemake.iocontainers import Wildcards

from selectimprove.artifacts.keys import digest, module_digest
from selectimprove.artifacts.provenance import file_hash
from selectimprove.config.checks import require_met
from selectimprove.config.params import Params
from selectimprove.config.sections import JobResources
from selectimprove.dag.artifact import Artifact, root_of, snakemake_command, stage_command
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import Stage
from selectimprove.errors import ParamsError

SUFFIXES = {"figures": ("png", "pdf", "svg", "csv", "md"), "tables": ("csv", "md")}
IN_REPORT = {"figures": ".png", "tables": ".csv"}
"""Suffixes of the published files that Snakemake's own report shows."""
TEMPLATES = [Path(__file__).parents[2] / "page" / name for name in ("index.html.jinja", "page.css", "page.js")]


def experiment_priority(plan: Plan, rank: int) -> int:
    """Return the priority of an experiment's artifacts by its rank; rank −1 precedes all experiments."""
    return 1000 * (len(plan.measures) - rank)


@dataclass(frozen=True)
class StageRule:
    """A stage as a rule of Snakemake; methods take the wildcards of a job, whose `name` is that of the artifact."""

    plan: Plan
    stage: Stage
    python: str
    """Python's path in jobs."""

    @property
    def resources(self) -> JobResources:
        return self.stage.resources(self.plan.params.resources)

    def artifact(self, wildcards: Wildcards) -> Artifact:
        try:
            return self.plan.artifacts[self.stage.name][wildcards.name]
        except KeyError:
            what = "not in the current plan; `snakemake --dry-run figures` lists what is"
            raise WorkflowError(f"results/{self.stage.name}/{wildcards.name}: {what}") from None

    def inputs(self, wildcards: Wildcards) -> list[str]:
        return [ancient(str(source.done)) for source in self.artifact(wildcards).inputs.values()]

    def priority(self, wildcards: Wildcards) -> int:
        """Order jobs by experiment, and within one by stage."""
        return experiment_priority(self.plan, self.plan.ranks[self.artifact(wildcards)]) + self.stage.priority

    def command(self, wildcards: Wildcards) -> str:
        artifact = self.artifact(wildcards)
        words = stage_command(artifact, artifact.folder, self.plan.params.resources, self.python)
        # A job that asks for no GPU must not use one, or its results would differ.
        hidden = "" if self.resources.gpus else "CUDA_VISIBLE_DEVICES= "
        return hidden + shlex.join(words)


@dataclass(frozen=True)
class Publication:
    """Published files: a figure or table, or the audit, which is the verdicts and a page."""

    name: str
    kind: Literal["figures", "tables", "audit"]
    artifacts: tuple[Artifact, ...]
    """The artifacts that it shows."""
    copies: dict[Path, Path]
    """Published copies, each with the file of an artifact that it is copied from."""
    key: str
    """The name, and a digest of everything that the files are a function of."""
    params: Params = field(repr=False)
    page: Path | None = None

    @property
    def files(self) -> list[Path]:
        return [*self.copies, *([self.page] if self.page else [])]

    @property
    def root(self) -> Path:
        return root_of(self.params.scale)

    @property
    def record(self) -> Path:
        return self.root / "published" / f"{self.key}.json"

    @property
    def outputs(self) -> list[str]:
        return [str(path) for path in (*self.files, self.record)]

    @property
    def wanted(self) -> list[str]:
        """Inputs of a target: the files, and the artifacts, with which `verify` compares them."""
        return [*self.outputs, *(ancient(str(artifact.done)) for artifact in self.artifacts)]

    @property
    def remedy(self) -> str:
        """The command that publishes it again even if Snakemake sees no reason."""
        return snakemake_command(self.params.scale, "--force", f"publish_{self.name}")

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return the records of its artifacts. File times do not count, since they are arbitrary after a clone."""
        if self.kind != "audit":
            try:
                require_met(self.params, self.name)
            except ParamsError as error:
                raise WorkflowError(str(error)) from None
        return [ancient(str(artifact.done)) for artifact in self.artifacts]

    def command(self, python: str) -> str:
        """Return the command that publishes it, with all params, so that editing their file meanwhile has no effect."""
        if self.kind == "audit":
            words = ["--audit", self.params.model_dump_json(), "--key", self.key]
        else:
            words = ["--exhibit", self.artifacts[0].folder, "--root", self.root, *self.files]
        return shlex.join([python, "-m", "selectimprove.reports.publish", *map(str, words)])


def publications(plan: Plan) -> dict[str, Publication]:
    """List the publications of all figures and tables, drawn by default or not, by name."""
    root, found = root_of(plan.params.scale), {}
    for name, artifact in plan.all_exhibits.items():
        kind = "figures" if name in plan.all_figures else "tables"
        files = [f"{name}.{suffix}" for suffix in SUFFIXES[kind]]
        copies = {root / kind / file: artifact.folder / file for file in files}
        found[name] = Publication(name, kind, (artifact,), copies, artifact.name, plan.params)
    return found


def audit_publication(plan: Plan) -> Publication:
    """Return the publication of the verdicts, and of the page that shows them with figures and tables."""
    folder = root_of(plan.params.scale) / "audit"
    artifacts = (plan.verdicts, *plan.audited.values())
    look = [module_digest("reports.page"), module_digest("reports.excerpt")]
    look += map(file_hash, TEMPLATES)
    copies = {folder / name: plan.verdicts.folder / name for name in ("claims.csv", "tests.csv")}
    key = f"audit-{digest([*(artifact.name for artifact in artifacts), *look])}"
    return Publication("audit", "audit", artifacts, copies, key, plan.params, folder / "index.html")
