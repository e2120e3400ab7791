"""The command that runs a stage, for the rules and for verification."""

from pathlib import Path

from selectimprove.config.loading import DEFAULT_SCALE
from selectimprove.config.sections import JobResources, Resources
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.table import STAGES

AT_START = {
    "PYTHONUTF8": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Environment variables that jobs read when they start. Text is UTF-8, whatever the locale. Training allocates the same
memory at every step; glibc's defaults give it back and clear it anew, which took a twentieth of the time."""
ACCELERATE = Path(__file__).parents[2] / "profiles" / "accelerate.yaml"


def snakemake_command(scale: str | None, *targets: object) -> str:
    """Return the command that makes targets at a scale."""
    of_scale = f" --config scale={scale}" if scale not in (None, DEFAULT_SCALE) else ""
    return f"snakemake --cores all {' '.join(map(str, targets))}{of_scale}"


def resources_of(artifact: Artifact, resources: Resources) -> JobResources:
    """Return what the job that makes an artifact asks for."""
    return STAGES[artifact.stage].resources(resources)


def needs_of(artifact: Artifact, resources: Resources) -> dict[str, float]:
    """Return the resources of the job that makes an artifact, by Snakemake's names."""
    asked = resources_of(artifact, resources)
    return {"cores": asked.cores, "gpu": asked.gpus, "mem_mb": asked.mem_mb}


def stage_command(artifact: Artifact, output: Path, resources: Resources, python: str) -> list[str]:
    """Return the words of the command that makes an artifact in the folder `output`.

    A job with GPUs locks them for itself; one that spreads has a process per GPU.
    """
    gpus, spreads = resources_of(artifact, resources).gpus, STAGES[artifact.stage].spreads
    words = [python, "-m", "selectimprove.artifacts.gpus", str(gpus), python] if gpus else [python]
    if gpus > 1 and spreads:
        words += ["-m", "accelerate.commands.launch", "--num_processes", str(gpus), "--config_file", str(ACCELERATE)]
    words += ["-m", f"selectimprove.{STAGES[artifact.stage].module}", "--config", artifact.config.model_dump_json()]
    words += [f"--input={role}={source.folder}" for role, source in artifact.inputs.items()]
    return [*words, "--output", str(output), "--key", artifact.digest]
