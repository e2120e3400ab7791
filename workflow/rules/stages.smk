# One rule per stage, all of one form; what differs is in the table, workflow/selectimprove/dag/table.py.
for stage in STAGES.values():

    rule:
        name:
            stage.rule
        input:
            get_inputs(stage),
        output:
            update(f"results/{stage.name}/{{name}}/provenance.json"),
        log:
            f"results/logs/{stage.name}/{{name}}.log",
        priority: get_priority(stage)
        localrule: stage.local
        conda:
            f"../../envs/{stage.environment}.yaml"
        threads: stage.resources(PLAN.params.resources).cores
        resources:
            gpu=stage.resources(PLAN.params.resources).gpus,
            mem_mb=stage.resources(PLAN.params.resources).mem_mb,
            runtime=stage.resources(PLAN.params.resources).minutes,
        params:
            command=get_command(stage),
        message:
            stage.message
        shell:
            "{params.command} > {log} 2>&1"
