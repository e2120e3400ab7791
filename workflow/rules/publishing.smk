# What Snakemake's report shows, with name, category and caption.
SHOWN = {
    f"results/{kind}/{name}.{suffix}": (name, kind.capitalize(), artifact.folder / "caption.rst")
    for kind, suffix, exhibits in (("figures", "png", PLAN.figures), ("tables", "csv", PLAN.tables))
    for name, artifact in exhibits.items()
}


rule publish_exhibits:
    input:
        [ancient(str(artifact.done)) for artifact in PLAN.exhibits.values()],
    output:
        [
            report(path, caption=str(captions.resolve()), category=category, labels={"name": name})
            for path, (name, category, captions) in SHOWN.items()
        ],
        [path for path in PUBLISHED if path not in SHOWN and path != str(publish.MANIFEST)],
        # What it says of figures and tables that other params drew is kept.
        update(str(publish.MANIFEST)),
    log:
        "results/logs/publish.log",
    localrule: True
    message:
        "Publishing figures and tables to results/"
    run:
        publish.publish(PLAN)


rule publish_audit:
    input:
        [ancient(str(artifact.done)) for artifact in (PLAN.verdicts, *PLAN.exhibits.values())],
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
        from selectimprove.reports.crate import export_crate

        export_crate(PLAN)
