rule audit_claims:
    input:
        get_inputs("verdicts"),
    output:
        "results/verdicts/{name}/provenance.json",
    log:
        "results/logs/verdicts/{name}.log",
    conda:
        "../../envs/light.yaml"
    threads: get_cores("verdicts")
    resources:
        gpu=get_gpus("verdicts"),
        mem_mb=get_memory("verdicts"),
        runtime=get_minutes("verdicts"),
    params:
        command=get_command("verdicts"),
    message:
        "Testing the claims of the paper"
    shell:
        "{params.command} > {log} 2>&1"


rule publish_audit:
    input:
        [ancient(str(a.done)) for a in (PLAN.audit, *PLAN.figures.values(), *PLAN.tables.values())],
    output:
        publish.audited_files(PLAN),
    log:
        "results/logs/publish_audit.log",
    localrule: True
    message:
        "Publishing the verdicts and their page to results/audit/"
    run:
        publish.publish_audit(PLAN)


rule verify:
    log:
        "results/logs/verify.log",
    localrule: True
    threads: get_parallel_jobs()
    message:
        "Verifying all artifacts and published files"
    run:
        from selectimprove.verify import require_verified

        require_verified(PLAN, threads, Path(log[0]))


rule plan:
    log:
        "results/logs/plan.log",
    localrule: True
    message:
        "What `figures` would make, and why"
    run:
        from selectimprove.forecast import print_forecast

        print_forecast(PLAN, os.cpu_count(), Path(log[0]))


rule export_crate:
    input:
        PUBLISHED,
        publish.audited_files(PLAN),
    output:
        "results/crate/ro-crate-metadata.json",
    log:
        "results/logs/export_crate.log",
    localrule: True
    message:
        "Exporting the run as an RO-Crate to results/crate/"
    run:
        from selectimprove.crate import export_crate

        export_crate(PLAN)
