"""An artifact: a folder of results under its key, and the artifacts that it is made from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from selectimprove.artifacts.keys import artifact_digest, source_digests
from selectimprove.artifacts.loading import loaded_by_name
from selectimprove.artifacts.provenance import RECORD
from selectimprove.dag.table import STAGES
from selectimprove.types import Strict

RESULTS = Path("results")


@dataclass(frozen=True, eq=False)
class Artifact:
    """A folder of results: what it is for people (`slug`), and what it is a function of.

    Parameters
    ----------
    stage : str
        A key of `STAGES`.
    slug : str
    config : Strict
        The stage's config.
    inputs : dict of str to Artifact
        By role.
    """

    stage: str
    slug: str
    config: Strict
    inputs: dict[str, "Artifact"] = field(default_factory=dict)

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
        """The checkpoints of RL, or of what takes its place, by step, in order; none of other stages."""
        folders = sorted(self.folder.glob("checkpoints/step-*"))
        return {int(folder.name.split("-")[1]): folder for folder in folders}

    @property
    def done(self) -> Path:
        """The file that is there only when the folder is complete."""
        return self.folder / RECORD


def collect_ancestors(
    artifacts: Iterable[Artifact], counts: Callable[[Artifact], bool] = lambda artifact: True
) -> list[Artifact]:
    """List artifacts and all that they are made from, each once, those of a figure from its end.

    Parameters
    ----------
    artifacts : iterable of Artifact
    counts : callable, optional
        Whether an artifact counts; one that does not is left out, and so is what only it is made from.

    Returns
    -------
    list of Artifact
    """
    found, pending = {}, [*artifacts][::-1]
    while pending:
        artifact = pending.pop()
        if artifact not in found and counts(artifact):
            found[artifact] = None
            pending += [*artifact.inputs.values()][::-1]
    return [*found]
