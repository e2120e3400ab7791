"""An artifact: a folder of results under its key, and the artifacts that it is made from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from selectimprove.artifacts.keys import artifact_digest, source_digests
from selectimprove.artifacts.provenance import RECORD
from selectimprove.artifacts.runner import loaded_by_name
from selectimprove.config.loading import DEFAULT_SCALE
from selectimprove.dag.table import STAGES
from selectimprove.types import Strict

RESULTS = Path("results")


def root_of(scale: str) -> Path:
    """Return the folder below which a scale publishes: the default one in git, each other one in a folder of its own."""
    return RESULTS if scale == DEFAULT_SCALE else RESULTS / scale


@dataclass(frozen=True, eq=False)
class Artifact:
    """A folder of results, and all that it is a function of."""

    stage: str
    slug: str
    """The start of its name, for people."""
    config: Strict
    inputs: dict[str, "Artifact"] = field(default_factory=dict)
    """By role."""

    @property
    def modules(self) -> frozenset[str]:
        """The modules whose source counts, with all that they import."""
        return frozenset({STAGES[self.stage].module}) | loaded_by_name(self.config)

    @property
    def source(self) -> dict[str, str]:
        """The digest of each module that counts."""
        return source_digests(self.modules)

    @cached_property
    def digest(self) -> str:
        inputs = {role: artifact.name for role, artifact in self.inputs.items()}
        return artifact_digest(self.config.model_dump(mode="json"), self.modules, inputs)

    @cached_property
    def name(self) -> str:
        return f"{self.slug}-{self.digest}"

    @property
    def folder(self) -> Path:
        return RESULTS / self.stage / self.name

    @property
    def checkpoints(self) -> dict[int, Path]:
        """The folders of the checkpoints of RL and its controls by step, in order."""
        folders = sorted(self.folder.glob("checkpoints/step-*"))
        return {int(folder.name.split("-")[1]): folder for folder in folders}

    @property
    def done(self) -> Path:
        """The file that exists only when the folder is complete."""
        return self.folder / RECORD


def collect_ancestors(
    artifacts: Iterable[Artifact], counts: Callable[[Artifact], bool] = lambda artifact: True
) -> list[Artifact]:
    """List artifacts and all their ancestors, each once, depth first.

    An artifact that does not count is left out, and so are ancestors of it alone.
    """
    found, pending = {}, [*artifacts][::-1]
    while pending:
        artifact = pending.pop()
        if artifact not in found and counts(artifact):
            found[artifact] = None
            pending += [*artifact.inputs.values()][::-1]
    return [*found]
