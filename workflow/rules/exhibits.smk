rule draw_exhibit:
    input:
        get_inputs("exhibits"),
    output:
        "results/exhibits/{name}/provenance.json",
    log:
        "results/logs/exhibits/{name}.log",
    conda:
        "../../envs/light.yaml"
    threads: get_cores("exhibits")
    resources:
        gpu=get_gpus("exhibits"),
        mem_mb=get_memory("exhibits"),
        runtime=get_minutes("exhibits"),
    params:
        command=get_command("exhibits"),
    message:
        "Drawing {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


rule publish_exhibits:
    input:
        [ancient(str(artifact.done)) for artifact in [*PLAN.figures.values(), *PLAN.tables.values()]],
    output:
        [
            report(path, caption=str(captions.resolve()), category=category, labels={"name": name})
            for path, (name, category, captions) in SHOWN.items()
        ],
        [path for path in PUBLISHED if path not in SHOWN and path != str(publish.MANIFEST)],
        # What it says of exhibits that other params drew is kept.
        update(str(publish.MANIFEST)),
    log:
        "results/logs/publish.log",
    localrule: True
    message:
        "Publishing figures and tables to results/"
    run:
        publish.publish(PLAN)
