import os
import shlex
import sys
from pathlib import Path

PACKAGE = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(PACKAGE))
# A checkout runs its own source, whichever copy of the package is installed: in jobs, and in the kernels of notebooks.
os.environ.update(PYTHONPATH=str(PACKAGE))
from snakemake.utils import available_cpu_count

from selectimprove.artifacts.forking import open_server
from selectimprove.config.loading import load_params
from selectimprove.config.training import REPORT_TO
from selectimprove.dag.command import AT_START
from selectimprove.dag.costs import record_costs
from selectimprove.dag.plan import Plan
from selectimprove.dag.rules import StageRule, experiment_priority
from selectimprove.dag.table import STAGES
from selectimprove.reports.publishing.publications import audit_publication, publications
from selectimprove.reports.running.interruption import end_jobs_when_interrupted, report_end
from selectimprove.reports.running.preconditions import require_runnable
from selectimprove.reports.running.progress import Progress, artifacts_to_make, capacity
from selectimprove.types import ParamsError

try:
    PLAN = Plan(load_params(Path(workflow.basedir) / "params.yaml", dict(config)))
except ParamsError as error:
    sys.exit(str(error))

environment = {"PYTHONPATH": shlex.quote(str(PACKAGE)), REPORT_TO: PLAN.params.report_to} | AT_START
shell.prefix(f"export {' '.join(f'{name}={value}' for name, value in environment.items())}; ")

# The interpreter that Snakemake runs on; in an environment of conda's, that environment's.
PYTHON = "python" if "conda" in str(workflow.deployment_settings.deployment_method).lower() else sys.executable
RULES = [StageRule(PLAN, stage, PYTHON) for stage in STAGES.values()]
PUBLICATIONS, AUDIT = publications(PLAN), audit_publication(PLAN)
DRAWN = [file for name in PLAN.exhibits for file in PUBLICATIONS[name].files]
FIRST = experiment_priority(PLAN, -1)


wildcard_constraints:
    name=r"[^/]+",


def fork_stages():
    """Spare the jobs that run here, in the environment of Snakemake and without a GPU, most of their imports."""
    if PYTHON == sys.executable:
        open_server((f"selectimprove.{rule.stage.module}" for rule in RULES if not rule.resources.gpus), AT_START)


def wake_when_jobs_end():
    """Have Snakemake look for jobs to start when one ends, and not besides.

    To heed `--max-jobs-per-timespan` it also looks once a second for each job that has ended, to the end of the run: after some hundred jobs that
    takes a quarter of a core. The limit spares clusters; jobs here are limited by cores.
    """
    workflow.scheduler.job_rate_limiter = None
