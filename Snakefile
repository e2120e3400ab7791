"""Reproduction of arXiv:2606.13125: `snakemake --cores all figures` regenerates every figure and table."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/stages.smk"
include: "workflow/rules/publishing.smk"


rule figures:
    """Every figure and table that is drawn by default"""
    default_target: True
    input:
        DRAWN,


rule extras:
    """The figures and tables that are drawn only when asked for"""
    input:
        EXTRAS,


rule audit:
    """A test of every claim of the paper, and a page about it"""
    input:
        AUDIT.wanted,


onstart:
    require_runnable(workflow, PLAN.params.resources)
    if workflow.local_exec:
        end_jobs_when_interrupted()
        wake_when_jobs_end()
        fork_stages()
    asked = artifacts_to_make(PLAN, workflow)
    for line in PLAN.equal_variants(asked):
        print(line, file=sys.stderr)
    Progress(PLAN.params, asked, capacity(workflow)).start()


onsuccess:
    record_costs(PLAN)


onerror:
    record_costs(PLAN)
    report_end(log, (Path(file) for job in workflow.scheduler.failed for file in job.log))
