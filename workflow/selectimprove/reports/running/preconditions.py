"""What is checked before the first job of a run starts."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake.exceptions import WorkflowError

from selectimprove.config.params import Resources
from selectimprove.dag.table import STAGES

if TYPE_CHECKING:
    # Its module and that of Snakemake's interface import each other.
    from snakemake.workflow import Workflow


def require_runnable(workflow: "Workflow", resources: Resources) -> None:
    """Check that the jobs of a run can start, and write where they belong.

    Raises
    ------
    WorkflowError
        If they cannot; it says how they could.
    """
    jobs = list(workflow.dag.needrun_jobs())
    limits = workflow.global_resources
    # Each would take the first GPU.
    if workflow.local_exec and "gpu" not in limits and any(job.resources.get("gpu") for job in jobs):
        raise WorkflowError(
            "params.yaml: resources: jobs take GPUs; say how many this machine has with --resources gpu=1, or send jobs elsewhere with --executor"
        )
    most = max(stage.resources(resources).mem_mb for stage in STAGES.values())
    # The bound in profiles/default is the memory of the machine that submits.
    if not workflow.local_exec and "mem_mb" in limits and limits["mem_mb"].value < most:
        raise WorkflowError(
            "profiles/default is for jobs on this machine, which has less memory than jobs ask for; name a workflow profile, or --workflow-profile none"
        )
    require_writable(Path(file) for job in jobs for file in [*job.output, *job.log])


def require_writable(files: Iterable[Path]) -> None:
    """Check, before any job starts, that the files of a run can be written where they belong.

    Raises
    ------
    WorkflowError
        If a folder cannot be written; it says which.
    """
    for folder in sorted({_nearest_folder(file) for file in files}):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WorkflowError(
                f"{folder}: cannot be written by this user; make it writable, or work in a clone of your own"
            )


def _nearest_folder(file: Path) -> Path:
    """Return the folder in which a file, or the first missing folder above it, would be made."""
    return next(folder for folder in file.parents if folder.is_dir())
