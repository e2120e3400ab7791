# One rule per figure or table, drawn by default or not, and one target per name: of a figure or table, or of an experiment, which
# stands for all figures and tables that show it.


for publication in PUBLICATIONS.values():

    rule:
        name:
            f"publish_{publication.name}"
        input:
            publication.inputs,
        output:
            [
                update(
                    report(
                        file,
                        caption=str((publication.artifacts[0].folder / "caption.rst").resolve()),
                        category=publication.kind.capitalize(),
                        labels={"name": publication.name},
                    )
                    if file.suffix == (".png" if publication.kind == "figures" else ".csv")
                    else str(file)
                )
                for file in publication.files
            ],
            update(str(publication.record)),
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


for target, exhibits in PLAN.targets.items():

    rule:
        name:
            target
        input:
            [file for name in exhibits for file in PUBLICATIONS[name].files] or ancient(str(PLAN.measures[target].done)),


rule publish_audit:
    input:
        AUDIT.inputs,
    output:
        [update(str(file)) for file in AUDIT.files],
        update(str(AUDIT.record)),
    log:
        "results/logs/publish/audit.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    params:
        command=AUDIT.command(PYTHON),
    message:
        "Publishing the verdicts and their page to {AUDIT.root}/audit"
    shell:
        "{params.command} > {log} 2>&1"


rule verify:
    log:
        "results/logs/verify.log",
    localrule: True
    threads: capacity(workflow)["cores"]
    message:
        "Verifying all artifacts and published files"
    run:
        from selectimprove.reports.verify import require_verified

        require_verified(PLAN, threads, Path(log[0]))


rule plan:
    log:
        "results/logs/plan.log",
    localrule: True
    message:
        "What `figures` would make, and why"
    run:
        from selectimprove.dag.forecast import print_forecast

        print_forecast(PLAN, available_cpu_count(), Path(log[0]))


rule export_crate:
    input:
        DRAWN,
        AUDIT.files,
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
