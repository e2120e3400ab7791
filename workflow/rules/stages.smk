# One rule per stage, all of the same form; they differ by the table, workflow/selectimprove/dag/table.py.
for made in RULES:

    rule:
        name:
            made.stage.rule
        input:
            made.inputs,
        output:
            update(f"results/{made.stage.name}/{{name}}/provenance.json"),
        log:
            f"results/logs/{made.stage.name}/{{name}}.log",
        priority: made.priority
        localrule: made.stage.local
        conda:
            f"../../envs/{made.stage.environment}.yaml"
        threads: made.resources.cores
        resources:
            gpu=made.resources.gpus,
            mem_mb=made.resources.mem_mb,
            runtime=made.resources.minutes,
        params:
            command=made.command,
        message:
            made.stage.message
        shell:
            "{params.command} > {log} 2>&1"

    workflow.get_rule(made.stage.rule).docstring = f"Makes results/{made.stage.name}/{{name}}/provenance.json"
