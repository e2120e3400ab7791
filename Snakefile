"""Reproduction of arXiv:2606.13125: `snakemake --cores all figures` regenerates every figure and table."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/stages.smk"
include: "workflow/rules/publishing.smk"


rule figures:
    default_target: True
    input:
        PUBLISHED,


rule audit:
    input:
        publish.audited_files(PLAN),


onstart:
    require_gpus_counted()
    Progress(PLAN.params.scale, get_artifacts_to_make(), get_parallel_jobs()).start()
