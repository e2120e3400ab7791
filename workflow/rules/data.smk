rule generate_problems:
    input:
        get_inputs("problems"),
    output:
        "results/problems/{name}/provenance.json",
    log:
        "results/logs/problems/{name}.log",
    # Seconds each, and training waits for them.
    priority: 40
    conda:
        "../../envs/light.yaml"
    threads: get_cores("problems")
    resources:
        gpu=get_gpus("problems"),
        mem_mb=get_memory("problems"),
        runtime=get_minutes("problems"),
    params:
        command=get_command("problems"),
    message:
        "Generating problems {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


rule write_demonstrations:
    input:
        get_inputs("demonstrations"),
    output:
        "results/demonstrations/{name}/provenance.json",
    log:
        "results/logs/demonstrations/{name}.log",
    priority: 40
    conda:
        "../../envs/light.yaml"
    threads: get_cores("demonstrations")
    resources:
        gpu=get_gpus("demonstrations"),
        mem_mb=get_memory("demonstrations"),
        runtime=get_minutes("demonstrations"),
    params:
        command=get_command("demonstrations"),
    message:
        "Writing demonstrations {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"
