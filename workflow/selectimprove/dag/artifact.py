"""An artifact: a folder of results under its key, its inputs, its checkpoints, and the command that makes it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from selectimprove.artifacts.keys import artifact_digest, loaded_by_name, source_digests
from selectimprove.artifacts.provenance import RECORD
from selectimprove.config.loading import DEFAULT_SCALE
from selectimprove.config.sections import Resources
from selectimprove.config.stages import Run
from selectimprove.config.training import Pretrained
from selectimprove.dag.table import STAGES
from selectimprove.types import Strict

RESULTS = Path("results")
AT_START = {
    "PYTHONUTF8": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Environment variables that a job reads only when it starts. Text is UTF-8, whatever the locale. Training allocates
the same memory at every step; by default, glibc returns it to the system each time, which took 5% of the time."""
ACCELERATE = Path(__file__).parents[2] / "profiles" / "accelerate.yaml"


def root_of(scale: str) -> Path:
    """Return the folder below which a scale publishes; each scale but the default has its own."""
    return RESULTS if scale == DEFAULT_SCALE else RESULTS / scale


@dataclass(frozen=True, eq=False)
class Artifact:
    """A folder of results, and everything that it is a function of."""

    stage: str
    slug: str
    """The start of its name, for people."""
    config: Strict
    inputs: dict[str, "Artifact"] = field(default_factory=dict)
    """By role."""

    @property
    def modules(self) -> frozenset[str]:
        """The modules whose source, with all that they import, counts in the key."""
        return frozenset({STAGES[self.stage].module}) | loaded_by_name(self.config)

    @property
    def source(self) -> dict[str, str]:
        """The digest of each module that counts in the key."""
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


@dataclass(frozen=True)
class Checkpoint:
    """A model at a step of RL or a round of rejection sampling (0 before it), with its run and measures, if any."""

    artifact: Artifact
    folder: Path
    step: int
    measures: Artifact | None = None
    run: Run | None = None

    @property
    def pretrained(self) -> Pretrained | None:
        """The pretrained model that its training started from, if any."""
        found = (each.config.pretrained for each in collect_ancestors([self.artifact]) if each.stage == "pretrained")
        return next((pretrained for pretrained in found if pretrained.weights != "random"), None)


def collect_ancestors(
    artifacts: Iterable[Artifact], counts: Callable[[Artifact], bool] = lambda artifact: True
) -> list[Artifact]:
    """List artifacts and their ancestors, each once, depth first; the walk ends at artifacts that do not count."""
    found, pending = {}, [*artifacts][::-1]
    while pending:
        artifact = pending.pop()
        if artifact not in found and counts(artifact):
            found[artifact] = None
            pending += [*artifact.inputs.values()][::-1]
    return [*found]


def snakemake_command(scale: str | None, *targets: object) -> str:
    """Return the command that makes targets at a scale."""
    of_scale = f" --config scale={scale}" if scale not in (None, DEFAULT_SCALE) else ""
    return f"snakemake --cores all {' '.join(map(str, targets))}{of_scale}"


def needs_of(artifact: Artifact, resources: Resources) -> dict[str, float]:
    """Return the resources of the job that makes an artifact, by Snakemake's names."""
    asked = STAGES[artifact.stage].resources(resources)
    return {"cores": asked.cores, "gpu": asked.gpus, "mem_mb": asked.mem_mb}


def stage_command(artifact: Artifact, output: Path, resources: Resources, python: str) -> list[str]:
    """Return the command that makes an artifact; jobs lock their GPUs, and spreading stages have a process per GPU."""
    stage = STAGES[artifact.stage]
    gpus = stage.resources(resources).gpus
    words = [python, "-m", "selectimprove.artifacts.gpus", str(gpus), python] if gpus else [python]
    if gpus > 1 and stage.spreads:
        words += ["-m", "accelerate.commands.launch", "--num_processes", str(gpus), "--config_file", str(ACCELERATE)]
    words += ["-m", f"selectimprove.{stage.module}", "--config", artifact.config.model_dump_json()]
    words += [f"--input={role}={source.folder}" for role, source in artifact.inputs.items()]
    return [*words, "--output", str(output), "--key", artifact.digest]
