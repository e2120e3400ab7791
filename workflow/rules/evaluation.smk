rule evaluate_model:
    input:
        get_inputs("evaluation"),
    output:
        "results/evaluation/{name}/provenance.json",
    log:
        "results/logs/evaluation/{name}.log",
    conda:
        "../../envs/train.yaml"
    params:
        arguments=get_arguments("evaluation"),
    message:
        "Evaluating {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule label_strategies:
    input:
        get_inputs("labels"),
    output:
        "results/labels/{name}/provenance.json",
    log:
        "results/logs/labels/{name}.log",
    conda:
        "../../envs/light.yaml"
    params:
        arguments=get_arguments("labels"),
    message:
        "Labeling {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule measure_experiment:
    input:
        get_inputs("measures"),
    output:
        "results/measures/{name}/provenance.json",
    log:
        "results/logs/measures/{name}.log",
    conda:
        "../../envs/light.yaml"
    params:
        arguments=get_arguments("measures"),
    message:
        "Measuring the experiment {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"
