"""Reproduction of arXiv:2606.13125: `snakemake --cores all figures` regenerates every figure and table."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/exhibits.smk"


rule figures:
    default_target: True
    input:
        PUBLISHED,


onstart:
    Progress(PLAN, get_parallel_jobs()).start()
