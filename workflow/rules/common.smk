import atexit
import os
import shlex
import sys
import time
from pathlib import Path

PACKAGE = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(PACKAGE))
# A checkout runs its own source, whichever copy of the package is installed: in jobs, and in the kernels of notebooks.
os.environ.update(PYTHONPATH=str(PACKAGE))
from snakemake.utils import available_cpu_count

from selectimprove.artifacts.forking import open_server
from selectimprove.config.demands.exhibits import require_met
from selectimprove.config.loading import load_params
from selectimprove.config.training import REPORT_TO
from selectimprove.dag.command import AT_START, stage_command
from selectimprove.dag.costs import record_costs
from selectimprove.dag.plan import Plan
from selectimprove.dag.progress import Progress
from selectimprove.dag.table import STAGES
from selectimprove.reports.interruption import describe_end, end_jobs_when_interrupted, require_writable
from selectimprove.reports.publishing.publications import audit_publication, publications
from selectimprove.types import ParamsError

try:
    PLAN = Plan(load_params(Path(workflow.basedir) / "params.yaml", dict(config)))
except ParamsError as error:
    sys.exit(str(error))

environment = {"PYTHONPATH": shlex.quote(str(PACKAGE)), REPORT_TO: PLAN.params.report_to} | AT_START
shell.prefix(f"export {' '.join(f'{name}={value}' for name, value in environment.items())}; ")

PUBLICATIONS, AUDIT = publications(PLAN), audit_publication(PLAN)
# The interpreter that Snakemake runs on; in an environment of conda's, that environment's.
PYTHON = "python" if "conda" in str(workflow.deployment_settings.deployment_method).lower() else sys.executable
DRAWN = [file for name in PLAN.exhibits for file in PUBLICATIONS[name].files]
FIRST = 1000 * (len(PLAN.measures) + 1)


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


def get_priority(stage):
    """Return a priority function: experiments in the order of the figures, so that those come first which are shown first."""
    return lambda wildcards: FIRST - 1000 * (PLAN.ranks[get_artifact(stage, wildcards)] + 1) + stage.priority


def get_published_inputs(publication):
    """Return an input function: the artifacts that are shown and, where they are not what is published, a file that is newer than that.

    Snakemake goes by file times, which say nothing here: older params have older artifacts, and files of a repository are as new as its clone.
    """

    def inputs(wildcards):
        if publication is not AUDIT:
            try:
                require_met(PLAN.params, publication.name)
            except ParamsError as error:
                raise WorkflowError(str(error))
        shown = [ancient(str(artifact.done)) for artifact in publication.artifacts]
        if publication.is_current():
            return shown
        mark = Path(".snakemake/to_publish", publication.name)
        mark.parent.mkdir(parents=True, exist_ok=True)
        # A clock that was set back leaves files of the future, than which nothing can be newer. They are about to be replaced.
        now = time.time()
        for file in publication.files:
            if file.exists() and file.stat().st_mtime >= now:
                os.utime(file, (now - 1, now - 1))
        # Of a file with the content of last time, Snakemake would say that it has not changed.
        mark.write_text(str(now))
        return [*shown, str(mark)]

    return inputs


def get_publishing_command(publication):
    """Return the command that publishes a figure or table; whatever is edited meanwhile, it publishes what was planned."""
    words = [PYTHON, "-m", "selectimprove.reports.publishing.exhibit", publication.artifacts[0].folder]
    words += ["--name", publication.name, "--root", publication.root, *publication.files]
    return shlex.join(map(str, words))


def get_audit_command():
    """Return the command that publishes the audit of these params."""
    words = [PYTHON, "-m", "selectimprove.reports.publishing.audit"]
    return shlex.join([*words, "--params", PLAN.params.model_dump_json(), "--key", AUDIT.key])


def get_command(stage):
    """Return a params function: the command that makes the artifact, in as many processes as it gets GPUs."""

    def command(wildcards):
        artifact = get_artifact(stage, wildcards)
        words = stage_command(artifact, artifact.folder, PLAN.params.resources, PYTHON)
        # A job that asks for no GPU must not find one: its results would be others.
        hidden = "" if stage.resources(PLAN.params.resources).gpus else "CUDA_VISIBLE_DEVICES= "
        return hidden + shlex.join(words)

    return command


def fork_stages():
    """Spare the jobs that run here, in the environment of Snakemake and without a GPU, most of their imports."""
    if workflow.local_exec and PYTHON == sys.executable:
        stages = (stage for stage in STAGES.values() if not stage.resources(PLAN.params.resources).gpus)
        open_server((f"selectimprove.{stage.module}" for stage in stages), AT_START)


def wake_when_jobs_end():
    """Have Snakemake look for jobs to start when one ends, and not besides.

    To heed `--max-jobs-per-timespan` it also looks once a second for each job that has ended, to the end of the run: after some hundred jobs that
    takes a quarter of a core. The limit spares clusters; jobs here are limited by cores.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def require_gpus_counted():
    """Refuse to run jobs that take GPUs on this machine when Snakemake does not know how many it has: each would take the first."""
    takes_gpus = any(job.resources.get("gpu") for job in workflow.dag.needrun_jobs())
    if takes_gpus and workflow.local_exec and "gpu" not in workflow.global_resources:
        raise WorkflowError(
            "params.yaml: resources: jobs take GPUs; say how many this machine has with --resources gpu=1, or send jobs elsewhere with --executor"
        )


def require_memory_unbounded():
    """Refuse to have a cluster's jobs bounded by the memory of the machine that submits them, as profiles/default would."""
    if workflow.local_exec or "mem_mb" not in workflow.global_resources:
        return
    most = max(stage.resources(PLAN.params.resources).mem_mb for stage in STAGES.values())
    if workflow.global_resources["mem_mb"].value < most:
        raise WorkflowError(
            "profiles/default is for jobs on this machine, which has less memory than jobs ask for; name a workflow profile, or --workflow-profile none"
        )


def require_results_writable():
    """Refuse to begin where results cannot be written."""
    require_writable(Path(file) for job in workflow.dag.needrun_jobs() for file in [*job.output, *job.log])


def report_end(logs):
    """Say how to go on if a run was interrupted, of which Snakemake says that a job failed; else what the jobs that failed said last."""
    said = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    failed = [Path(log) for job in workflow.scheduler.failed for log in job.log]
    for line in describe_end(said, failed):
        # After all that Snakemake says of how it ends.
        atexit.register(print, line, file=sys.stderr)


def get_parallel_jobs():
    """Return how many jobs of one core run at once: cores here, or jobs on a cluster."""
    settings = workflow.resource_settings
    return settings.cores or settings.nodes or 1


def get_capacity():
    """Return how much of each resource jobs share: what Snakemake was told of, or on a cluster as much as so many jobs may take."""
    cores = get_parallel_jobs()
    told = {
        name: workflow.global_resources[name].value for name in ("gpu", "mem_mb") if name in workflow.global_resources
    }
    return {"cores": cores} | (told if workflow.local_exec else {})


def get_artifacts_to_make():
    """Return the artifacts that this run of Snakemake will make."""
    outputs = {str(output) for job in workflow.dag.needrun_jobs() for output in job.output}
    return [a for stage in PLAN.artifacts.values() for a in stage.values() if str(a.done) in outputs]
