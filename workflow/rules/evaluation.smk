rule evaluate_model:
    input:
        get_inputs("evaluation"),
    output:
        "results/evaluation/{name}/provenance.json",
    log:
        "results/logs/evaluation/{name}.log",
    conda:
        "../../envs/train.yaml"
    threads: get_cores("evaluation")
    resources:
        gpu=get_gpus("evaluation"),
        mem_mb=get_memory("evaluation"),
        runtime=get_minutes("evaluation"),
    params:
        command=get_command("evaluation"),
    message:
        "Evaluating {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


rule label_strategies:
    input:
        get_inputs("labels"),
    output:
        "results/labels/{name}/provenance.json",
    log:
        "results/logs/labels/{name}.log",
    conda:
        "../../envs/light.yaml"
    threads: get_cores("labels")
    resources:
        gpu=get_gpus("labels"),
        mem_mb=get_memory("labels"),
        runtime=get_minutes("labels"),
    params:
        command=get_command("labels"),
    message:
        "Labeling {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


rule measure_experiment:
    input:
        get_inputs("measures"),
    output:
        "results/measures/{name}/provenance.json",
    log:
        "results/logs/measures/{name}.log",
    conda:
        "../../envs/light.yaml"
    threads: get_cores("measures")
    resources:
        gpu=get_gpus("measures"),
        mem_mb=get_memory("measures"),
        runtime=get_minutes("measures"),
    params:
        command=get_command("measures"),
    message:
        "Measuring the experiment {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"
