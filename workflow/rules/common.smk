import os
import shlex
import sys
from pathlib import Path

PACKAGE = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(PACKAGE))
# A checkout runs its own source, whichever copy of the package is installed: in jobs, and in the kernels of notebooks.
os.environ.update(PYTHONPATH=str(PACKAGE))
# Training allocates the same memory at every step; having freed memory cleared anew took about a twentieth of its time.
MALLOC = "MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456"
shell.prefix(f"export PYTHONPATH={shlex.quote(str(PACKAGE))} {MALLOC}; ")

from selectimprove.artifacts.keys import digest
from selectimprove.config.loading import load_params
from selectimprove.dag.costs import Progress
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.reports import publish
from selectimprove.types import ParamsError

try:
    PLAN = Plan(load_params(Path(workflow.basedir) / "params.yaml", dict(config)))
except ParamsError as error:
    sys.exit(str(error))

PUBLISHED = publish.published_files(PLAN)


wildcard_constraints:
    name=r"[^/]+",


def get_artifact(stage, wildcards):
    """Look an artifact up by its name, which ends with its key."""
    try:
        return PLAN.artifacts[stage.name][wildcards.name]
    except KeyError:
        raise WorkflowError(
            f"results/{stage.name}/{wildcards.name}: not in the current plan; `snakemake --dry-run figures` lists what is"
        )


def get_inputs(stage):
    """Return an input function: what the artifact's inputs leave when they are complete."""
    return lambda wildcards: [
        ancient(str(artifact.done)) for artifact in get_artifact(stage, wildcards).inputs.values()
    ]


def get_command(stage):
    """Return a params function: the command that makes the artifact, in as many processes as it gets GPUs."""

    def command(wildcards):
        artifact = get_artifact(stage, wildcards)
        gpus = stage.resources(PLAN.params.resources).gpus if stage.name in ("sft", "rl") else 1
        # The interpreter that Snakemake runs on; in an environment of conda's, that environment's.
        words = ["python" if "conda" in str(workflow.deployment_settings.deployment_method).lower() else sys.executable]
        if gpus > 1:
            words += ["-m", "accelerate.commands.launch", "--num_processes", str(gpus)]
            words += ["--config_file", str(PACKAGE / "profiles/accelerate.yaml")]
        words += ["-m", f"selectimprove.{stage.module}", "--config", artifact.config.model_dump_json()]
        words += [f"--input={role}={source.folder}" for role, source in artifact.inputs.items()]
        words += ["--output", str(artifact.folder), "--source", digest(artifact.source)]
        # A job that asks for no GPU must not find one: its results would be others.
        hidden = "" if stage.resources(PLAN.params.resources).gpus else "CUDA_VISIBLE_DEVICES= "
        return hidden + shlex.join(words)

    return command


def require_gpus_counted():
    """Refuse to run jobs that take GPUs on this machine when Snakemake does not know how many it has: each would take the first."""
    takes_gpus = any(job.resources.get("gpu") for job in workflow.dag.needrun_jobs())
    if takes_gpus and workflow.local_exec and "gpu" not in workflow.global_resources:
        raise WorkflowError(
            "params.yaml: resources: jobs take GPUs; say how many this machine has with --resources gpu=1, or send jobs elsewhere with --executor"
        )


def get_parallel_jobs():
    """Return how many jobs of one core run at once: cores here, or jobs on a cluster."""
    settings = workflow.resource_settings
    return settings.cores or settings.nodes or 1


def get_artifacts_to_make():
    """Return the artifacts that this run of Snakemake will make."""
    outputs = {str(output) for job in workflow.dag.needrun_jobs() for output in job.output}
    return [a for stage in PLAN.artifacts.values() for a in stage.values() if str(a.done) in outputs]
