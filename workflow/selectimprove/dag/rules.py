"""Stages and publications as Snakemake's rules: their inputs, outputs, priorities and commands.

A publication is copies of a figure, a table or the verdicts for people, and the page of the audit, with a record. The
default scale publishes to ``results/figures``, ``results/tables`` and ``results/audit``, which are in git; every other
scale to the same folders below ``results/<scale>``. The record ``published/<name>-<key>.json`` is an output of the rule
that publishes, so Snakemake sees by its name whether today's artifact is published. `selectimprove.reports.publish`
writes it.
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
"""The published file that Snakemake's own report shows."""
AUDIT_FILES = ("claims.csv", "tests.csv")
PAGE_MODULES = ("page", "excerpt")
TEMPLATES = Path(__file__).parents[2] / "page"


def experiment_priority(plan: Plan, rank: int) -> int:
    """Return the priority of an experiment's artifacts by its rank; rank −1 comes before all experiments."""
    return 1000 * (len(plan.measures) - rank)


@dataclass(frozen=True)
class StageRule:
    """A stage as a rule; all methods but `resources` are functions of wildcards."""

    plan: Plan
    stage: Stage
    python: str
    """The interpreter of jobs."""

    @property
    def resources(self) -> JobResources:
        return self.stage.resources(self.plan.params.resources)

    def artifact(self, wildcards: Wildcards) -> Artifact:
        """Look an artifact up by its name, which ends with its key."""
        try:
            return self.plan.artifacts[self.stage.name][wildcards.name]
        except KeyError:
            what = "not in the current plan; `snakemake --dry-run figures` lists what is"
            raise WorkflowError(f"results/{self.stage.name}/{wildcards.name}: {what}") from None

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return the files that mark the artifact's inputs as complete."""
        return [ancient(str(source.done)) for source in self.artifact(wildcards).inputs.values()]

    def priority(self, wildcards: Wildcards) -> int:
        """Order jobs by experiment, and within one by stage."""
        return experiment_priority(self.plan, self.plan.ranks[self.artifact(wildcards)]) + self.stage.priority

    def command(self, wildcards: Wildcards) -> str:
        """Return the command that makes the artifact."""
        artifact = self.artifact(wildcards)
        words = stage_command(artifact, artifact.folder, self.plan.params.resources, self.python)
        # A job that asks for no GPU must not use one: its results would differ.
        hidden = "" if self.resources.gpus else "CUDA_VISIBLE_DEVICES= "
        return hidden + shlex.join(words)


@dataclass(frozen=True)
class Publication:
    """Published files, and the artifacts that they show."""

    name: str
    """Of the figure or table, or ``audit``."""
    kind: Literal["figures", "tables", "audit"]
    """The folder."""
    artifacts: tuple[Artifact, ...]
    copies: dict[Path, Path]
    """Published files, each with the file of an artifact that it is a copy of."""
    key: str
    """The name, and a digest of everything that the files are a function of."""
    params: Params = field(repr=False)
    page: Path | None = None
    """The page of the audit, which is no copy."""

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
        """What is made when it is asked for by name: with the files, the artifacts that they are compared with."""
        return [*self.outputs, *(ancient(str(artifact.done)) for artifact in self.artifacts)]

    @property
    def remedy(self) -> str:
        """The command that publishes it again, also where Snakemake sees no reason to."""
        return snakemake_command(self.params.scale, "--force", f"publish_{self.name}")

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return the records of the artifacts that it shows. Times do not count: a clone's are arbitrary."""
        if self.kind != "audit":
            try:
                require_met(self.params, self.name)
            except ParamsError as error:
                raise WorkflowError(str(error)) from None
        return [ancient(str(artifact.done)) for artifact in self.artifacts]

    def command(self, python: str) -> str:
        """Return the command that publishes it. It names everything, so editing the params meanwhile has no effect."""
        if self.kind == "audit":
            words = ["--audit", self.params.model_dump_json(), "--key", self.key]
        else:
            words = ["--exhibit", self.artifacts[0].folder, "--root", self.root, *self.files]
        return shlex.join([python, "-m", "selectimprove.reports.publish", *map(str, words)])


def publications(plan: Plan) -> dict[str, Publication]:
    """List all figures and tables that can be published, drawn by default or not, by name."""
    root, found = root_of(plan.params.scale), {}
    for kind, exhibits in (("figures", plan.all_figures), ("tables", plan.all_tables)):
        for name, artifact in exhibits.items():
            files = [f"{name}.{suffix}" for suffix in SUFFIXES[kind]]
            copies = {root / kind / file: artifact.folder / file for file in files}
            found[name] = Publication(name, kind, (artifact,), copies, artifact.name, plan.params)
    return found


def audit_publication(plan: Plan) -> Publication:
    """Return the audit: the verdicts, and the page that shows them with figures and tables."""
    folder = root_of(plan.params.scale) / "audit"
    artifacts = (plan.verdicts, *plan.audited.values())
    look = [*(module_digest(f"reports.{name}") for name in PAGE_MODULES), *map(file_hash, sorted(TEMPLATES.iterdir()))]
    copies = {folder / name: plan.verdicts.folder / name for name in AUDIT_FILES}
    key = f"audit-{digest([*(artifact.name for artifact in artifacts), *look])}"
    return Publication("audit", "audit", artifacts, copies, key, plan.params, folder / "index.html")
