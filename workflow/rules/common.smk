import os
import shlex
import sys
from pathlib import Path

PACKAGE = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(PACKAGE))
# Jobs and notebooks import this checkout's package, even if another copy is installed, and then what the user's path has.
PATHS = [str(PACKAGE), *filter(None, dict(os.environ).get("PYTHONPATH", "").split(os.pathsep))]
os.environ.update(PYTHONPATH=os.pathsep.join(dict.fromkeys(PATHS)))
from snakemake.exceptions import WorkflowError

from selectimprove.artifacts.forking import open_server
from selectimprove.config.loading import load_params
from selectimprove.config.training import REPORT_TO
from selectimprove.dag.artifact import AT_START
from selectimprove.dag.costs import record_costs
from selectimprove.dag.plan import Plan
from selectimprove.dag.rules import IN_REPORT, StageRule, audit_publication, experiment_priority, publications
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError, one_line
from selectimprove.reports.running import (
    Progress,
    artifacts_to_make,
    capacity,
    end_jobs_when_interrupted,
    report_end,
    require_runnable,
)

try:
    PLAN = Plan(load_params(Path(workflow.basedir) / "params.yaml", dict(config)))
except ParamsError as error:
    sys.exit(str(error))

environment = {
    "PYTHONPATH": shlex.quote(os.pathsep.join(dict.fromkeys(PATHS))),
    REPORT_TO: PLAN.params.report_to,
} | AT_START
shell.prefix(f"export {' '.join(f'{name}={value}' for name, value in environment.items())}; ")

# Snakemake's own interpreter or, with conda, the one in each job's environment.
PYTHON = "python" if "conda" in str(workflow.deployment_settings.deployment_method).lower() else sys.executable
RULES = [StageRule(PLAN, stage, PYTHON) for stage in STAGES.values()]
PUBLICATIONS, AUDIT = publications(PLAN), audit_publication(PLAN)
DRAWN, EXTRAS = (
    [file for name in names for file in PUBLICATIONS[name].wanted] for names in (PLAN.exhibits, PLAN.extras)
)
FIRST = experiment_priority(PLAN, -1)


wildcard_constraints:
    name=r"[^/]+",


def in_report(publication, file):
    """Have Snakemake's own report show a published file if it has the suffix in `IN_REPORT`."""
    if Path(file).suffix != IN_REPORT.get(publication.kind):
        return file
    caption = (publication.artifacts[0].folder / "caption.rst").resolve()
    kind = publication.kind.capitalize()
    return report(file, caption=str(caption), category=kind, labels={"name": publication.name})


def describe_target(name):
    """Describe a target for `snakemake --list`: the beginning of its caption, or what an experiment stands for."""
    exhibit = (PLAN.params.figures | PLAN.params.tables).get(name)
    return one_line(exhibit.caption if exhibit else f"The experiment {name}: {', '.join(PLAN.targets[name])}", 100)


def fork_stages():
    """Spare jobs most of their imports if they use Snakemake's interpreter and no GPU."""
    if PYTHON == sys.executable:
        open_server((f"selectimprove.{rule.stage.module}" for rule in RULES if not rule.resources.gpus), AT_START)


def wake_when_jobs_end():
    """Have Snakemake look for jobs to start only when a job ends."""
    # For `--max-jobs-per-timespan`, it would also look once a second per ended job, until the run ends: after some
    # hundred jobs, that takes a quarter of a core. That limit is for clusters; here, cores limit jobs.
    workflow.scheduler.job_rate_limiter = None
