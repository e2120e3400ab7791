import os
import shlex
import sys
from pathlib import Path

PACKAGE = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(PACKAGE))
# A checkout runs its own source, whichever copy of the package is installed: in jobs, and in the kernels of notebooks.
os.environ.update(PYTHONPATH=str(PACKAGE))
# Memory that a process has freed stays with it: training allocates the same megabytes at every step, and having them mapped and
# cleared anew took about a twentieth of its time. Results are the same to the bit.
MALLOC = "MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456"
shell.prefix(f"export PYTHONPATH={shlex.quote(str(PACKAGE))} {MALLOC}; ")

from snakemake.settings.types import RerunTrigger

from selectimprove import publish
from selectimprove.config import ParamsError
from selectimprove.costs import Progress
from selectimprove.params import load_params
from selectimprove.plan import MODULES, Plan

try:
    PLAN = Plan(load_params(Path(workflow.basedir) / "params.yaml", dict(config)))
except ParamsError as error:
    sys.exit(str(error))

# An artifact's name covers its params, its stage's source and its inputs: nothing that has its name may be made again because
# Snakemake remembers another command line for it, or none, as after `dvc pull`. What the command line says of triggers is set only
# after this file is read, and a profile holds only where it is named.
type(workflow).rerun_triggers = frozenset([RerunTrigger.MTIME])

RESOURCES = PLAN.params.resources
KINDS = dict.fromkeys(("base", "composition_base", "sft", "rl"), RESOURCES.train) | {"evaluation": RESOURCES.sample}

PUBLISHED = publish.published_files(PLAN)
# What Snakemake's report shows, with name, category and caption.
SHOWN = {
    f"results/{kind}/{name}.{suffix}": (name, kind.capitalize(), artifact.folder / "caption.rst")
    for kind, suffix, exhibits in (("figures", "png", PLAN.figures), ("tables", "csv", PLAN.tables))
    for name, artifact in exhibits.items()
}


wildcard_constraints:
    name=r"[^/]+",


def get_artifact(stage, wildcards):
    """Look an artifact up by its name, which ends with its key."""
    try:
        return PLAN.artifacts[stage][wildcards.name]
    except KeyError:
        raise WorkflowError(f"params.yaml asks for no results/{stage}/{wildcards.name}")


def get_inputs(stage):
    """Return an input function: what the artifact's inputs leave when they are complete."""
    return lambda wildcards: [
        ancient(str(artifact.done)) for artifact in get_artifact(stage, wildcards).inputs.values()
    ]


def get_command(stage):
    """Return a params function: the command that makes the artifact, in as many processes as it gets GPUs."""

    def command(wildcards):
        artifact = get_artifact(stage, wildcards)
        gpus = KINDS.get(stage, RESOURCES.light).gpus if stage in ("sft", "rl") else 1
        launcher = ["accelerate", "launch", "--config_file", str(PACKAGE / "profiles/accelerate.yaml")]
        words = [*launcher, "--num_processes", str(gpus), "-m"] if gpus > 1 else ["python", "-m"]
        words += ["selectimprove.stage", MODULES[stage], "--config", artifact.config.model_dump_json()]
        for role, source in artifact.inputs.items():
            words += ["--input", f"{role}={source.folder}"]
        return shlex.join([*words, "--output", str(artifact.folder)])

    return command


def get_cores(stage):
    return KINDS.get(stage, RESOURCES.light).cores


def get_gpus(stage):
    return KINDS.get(stage, RESOURCES.light).gpus


def get_memory(stage):
    """Return the memory of a job in MB, as Snakemake counts it."""
    return round(KINDS.get(stage, RESOURCES.light).memory_gib * 1024)


def get_minutes(stage):
    return KINDS.get(stage, RESOURCES.light).minutes


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
    artifacts = [artifact for stage in PLAN.artifacts.values() for artifact in stage.values()]
    return [artifact for artifact in artifacts if str(artifact.done) in outputs]
