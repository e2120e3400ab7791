"""What a plan publishes, and whether it has been.

The default scale publishes to ``results/figures``, ``results/tables`` and ``results/audit``, which are in git; every other scale to the same
folders below ``results/<scale>``. A publication is current if its files are those of the plan's artifacts, by content: file times and
Snakemake's records have no say, so going back to older params or older files is noticed.
"""

import os
import shlex
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient
from snakemake.iocontainers import Wildcards

from selectimprove.artifacts.keys import digest, module_digest
from selectimprove.artifacts.provenance import file_hash
from selectimprove.config.loading import DEFAULT_SCALE
from selectimprove.config.needs import require_met
from selectimprove.config.params import Params
from selectimprove.dag.artifact import RESULTS, Artifact, collect_ancestors
from selectimprove.dag.command import snakemake_command
from selectimprove.dag.plan import Plan
from selectimprove.reports.publishing.records import provenance_hashes, read_if_whole
from selectimprove.types import ParamsError

SUFFIXES = {"figures": ("png", "pdf", "svg", "csv", "md"), "tables": ("csv", "md")}
AUDIT_FILES = ("claims.csv", "tests.csv")
PAGE_MODULES = ("page", "excerpt", "shown_tests")
TEMPLATES = Path(__file__).parents[3] / "page"


@dataclass(frozen=True)
class Publication:
    """Published files, and the artifacts that they show.

    Parameters
    ----------
    name : str
        Of the figure or table, or ``audit``.
    kind : {'figures', 'tables', 'audit'}
        The folder.
    artifacts : tuple of Artifact
    copies : dict of Path to Path
        Published files with the files of artifacts that they are copies of.
    composed : tuple of Path
        Published files that are no copies.
    key : str
        Changes with the artifacts, and with what composes the files.
    params : Params
        What they were planned from.
    """

    name: str
    kind: str
    artifacts: tuple[Artifact, ...]
    copies: dict[Path, Path]
    composed: tuple[Path, ...]
    key: str
    params: Params = field(repr=False)

    @property
    def files(self) -> list[Path]:
        return [*self.copies, *self.composed]

    @property
    def root(self) -> Path:
        """The folder that those of all kinds are in."""
        return root_of(self.params.scale)

    @property
    def record(self) -> Path:
        return self.root / "published" / f"{self.name}.json"

    @property
    def remedy(self) -> str:
        """The command that publishes it."""
        return snakemake_command(self.params.scale, self.name)

    def command(self, python: str) -> str:
        """Return the command that publishes it; whatever is edited meanwhile, that publishes what was planned."""
        if self.kind == "audit":
            words = ["audit", "--params", self.params.model_dump_json(), "--key", self.key]
        else:
            words = ["exhibit", self.artifacts[0].folder, "--name", self.name, "--root", self.root, *self.files]
        module, *arguments = map(str, words)
        return shlex.join([python, "-m", f"selectimprove.reports.publishing.{module}", *arguments])

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return the artifacts that it shows and, where they are not what is published, a file that is newer than that.

        Snakemake goes by file times, which say nothing here: older params have older artifacts, and files of a repository are as new as its clone.
        """
        if self.kind != "audit":
            try:
                require_met(self.params, self.name)
            except ParamsError as error:
                raise WorkflowError(str(error)) from None
        shown = [ancient(str(artifact.done)) for artifact in self.artifacts]
        return shown if self.is_current() else [*shown, str(self._write_mark())]

    def _write_mark(self) -> Path:
        """Write a file that is newer than all that is published."""
        mark = Path(".snakemake/to_publish", self.name)
        mark.parent.mkdir(parents=True, exist_ok=True)
        # A clock that was set back leaves files of the future, than which nothing can be newer. They are about to be replaced.
        now = time.time()
        for file in self.files:
            if file.exists() and file.stat().st_mtime >= now:
                os.utime(file, (now - 1, now - 1))
        # Of a file with the content of last time, Snakemake would say that it has not changed.
        mark.write_text(str(now))
        return mark

    @cached_property
    def made_from(self) -> list[str]:
        """The artifacts that it is made from, as ``stage/name``."""
        return [f"{artifact.stage}/{artifact.name}" for artifact in collect_ancestors(self.artifacts)]

    def is_made(self) -> bool:
        """Tell whether all that it shows is there."""
        return all(artifact.done.exists() for artifact in self.artifacts)

    def is_current(self) -> bool:
        """Tell whether its files are those of today's artifacts."""
        record = read_if_whole(self.record)
        if record.get("key") != self.key or not self.is_made():
            return False
        recorded = {self.root / name: expected for name, expected in record.get("files", {}).items()}
        if set(recorded) != set(self.files) or any(
            not file.is_file() or file_hash(file) != expected for file, expected in recorded.items()
        ):
            return False
        if any(source.is_file() and file_hash(source) != recorded[file] for file, source in self.copies.items()):
            return False
        # An artifact that was made again is another witness; one that was removed is none.
        found, before = provenance_hashes(RESULTS, self.made_from), record.get("provenance", {})
        return all(now is None or now == before.get(name) for name, now in found.items())


def root_of(scale: str) -> Path:
    """Return the folder below which a scale publishes."""
    return RESULTS if scale == DEFAULT_SCALE else RESULTS / scale


def publications(plan: Plan) -> dict[str, Publication]:
    """List all figures and tables that can be published, drawn by default or not."""
    root, found = root_of(plan.params.scale), {}
    for kind, exhibits in (("figures", plan.all_figures), ("tables", plan.all_tables)):
        for name, artifact in exhibits.items():
            files = [f"{name}.{suffix}" for suffix in SUFFIXES[kind]]
            copies = {root / kind / file: artifact.folder / file for file in files}
            found[name] = Publication(name, kind, (artifact,), copies, (), artifact.name, plan.params)
    return found


def audit_publication(plan: Plan) -> Publication:
    """Return the audit: verdicts, and the page that shows them with all that is drawn by default."""
    root = root_of(plan.params.scale)
    artifacts = (plan.verdicts, *plan.exhibits.values())
    look = [*(module_digest(f"reports.{name}") for name in PAGE_MODULES), *map(file_hash, sorted(TEMPLATES.iterdir()))]
    copies = {root / "audit" / name: plan.verdicts.folder / name for name in AUDIT_FILES}
    key = digest([*(artifact.name for artifact in artifacts), *look])
    return Publication("audit", "audit", artifacts, copies, (root / "audit" / "index.html",), key, plan.params)
