# One rule publishes each figure, each table and the audit. Then every figure, table and experiment is a target; an
# experiment stands for the figures and tables that show no other.


for publication in [*PUBLICATIONS.values(), AUDIT]:

    rule:
        name:
            f"publish_{publication.name}"
        input:
            publication.inputs,
        output:
            [update(in_report(publication, file)) for file in publication.outputs],
        log:
            f"results/logs/publish/{publication.name}.log",
        priority: FIRST
        localrule: True
        conda:
            "../../envs/light.yaml"
        params:
            command=publication.command(PYTHON),
        message:
            f"Publishing {publication.name} to {publication.root / publication.kind}"
        shell:
            "{params.command} > {log} 2>&1"

    workflow.get_rule(f"publish_{publication.name}").docstring = f"Copies {publication.name} out of its artifacts"


for target, exhibits in PLAN.targets.items():

    rule:
        name:
            target
        input:
            [file for name in exhibits for file in PUBLICATIONS[name].wanted]
            or ancient(str(PLAN.measures[target].done)),

    workflow.get_rule(target).docstring = describe_target(target)


rule verify:
    """A check of all artifacts and published files"""
    log:
        "results/logs/verify.log",
    localrule: True
    threads: capacity(workflow)["cores"]
    message:
        "Verifying all artifacts and published files"
    run:
        from selectimprove.reports.verify import verify

        mistakes = "\n".join(verify(PLAN, threads))
        Path(log[0]).write_text(mistakes)
        if mistakes:
            raise WorkflowError(mistakes)


rule export_crate:
    """The whole lineage as an RO-Crate"""
    input:
        [file for name in PLAN.audited for file in PUBLICATIONS[name].wanted],
        AUDIT.wanted,
    output:
        "results/crate/ro-crate-metadata.json",
    log:
        "results/logs/export_crate.log",
    localrule: True
    message:
        "Exporting the run as an RO-Crate to results/crate/"
    run:
        from selectimprove.reports.crate import export_crate

        export_crate(PLAN)
