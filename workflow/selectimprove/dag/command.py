"""The command that runs a stage, for the rules and for whoever makes an artifact again."""

from pathlib import Path

from selectimprove.artifacts.keys import digest
from selectimprove.config.loading import DEFAULT_SCALE
from selectimprove.config.params import JobResources, Resources
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.table import STAGES

AT_START = {
    "PYTHONUTF8": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
"""For the environment of jobs, which read it at their start. Text is UTF-8, whatever the locale. Training allocates the same memory at every step; having freed memory cleared anew took about a twentieth of its time."""
ACCELERATE = Path(__file__).parents[2] / "profiles" / "accelerate.yaml"


def snakemake_command(scale: str | None, *targets: object) -> str:
    """Return the command that makes targets at a scale; none is named where it is the default."""
    of_scale = f" --config scale={scale}" if scale not in (None, DEFAULT_SCALE) else ""
    return f"snakemake --cores all {' '.join(map(str, targets))}{of_scale}"


def resources_of(artifact: Artifact, resources: Resources) -> JobResources:
    """Return what the job that makes an artifact asks for."""
    return STAGES[artifact.stage].resources(resources)


def needs_of(artifact: Artifact, resources: Resources) -> dict[str, float]:
    """Return the same by the names that Snakemake has for it."""
    asked = resources_of(artifact, resources)
    return {"cores": asked.cores, "gpu": asked.gpus, "mem_mb": asked.mem_mb}


def stage_command(artifact: Artifact, output: Path, resources: Resources, python: str) -> list[str]:
    """Return the words of the command that makes an artifact: with GPUs of its own, if it takes any, and in a process for each where it spreads.

    Parameters
    ----------
    artifact : Artifact
    output : Path
        The folder to make.
    resources : Resources
    python : str
        The interpreter.
    """
    gpus, spreads = resources_of(artifact, resources).gpus, STAGES[artifact.stage].spreads
    words = [python, "-m", "selectimprove.artifacts.gpus", str(gpus), python] if gpus else [python]
    if gpus > 1 and spreads:
        words += ["-m", "accelerate.commands.launch", "--num_processes", str(gpus), "--config_file", str(ACCELERATE)]
    words += ["-m", f"selectimprove.{STAGES[artifact.stage].module}", "--config", artifact.config.model_dump_json()]
    words += [f"--input={role}={source.folder}" for role, source in artifact.inputs.items()]
    return [*words, "--output", str(output), "--source", digest(artifact.source)]
