"""Reproduction of arXiv:2606.13125: `snakemake --cores all figures` regenerates every figure and table."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/stages.smk"
include: "workflow/rules/publishing.smk"


rule figures:
    default_target: True
    input:
        DRAWN,


rule audit:
    input:
        AUDIT.files,


onstart:
    require_gpus_counted()
    require_memory_unbounded()
    require_results_writable()
    if workflow.local_exec:
        end_jobs_when_interrupted()
    wake_when_jobs_end()
    fork_stages()
    Progress(PLAN.params, get_artifacts_to_make(), get_capacity()).start()


onsuccess:
    record_costs(PLAN)


onerror:
    record_costs(PLAN)
    report_end(log)
