rule generate_compositions:
    input:
        get_inputs("compositions"),
    output:
        "results/compositions/{name}/provenance.json",
    log:
        "results/logs/compositions/{name}.log",
    conda:
        "../../envs/light.yaml"
    params:
        arguments=get_arguments("compositions"),
    message:
        "Generating compositions {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule continue_base:
    input:
        get_inputs("composition_base"),
    output:
        "results/composition_base/{name}/provenance.json",
    log:
        "results/logs/composition_base/{name}.log",
    priority: 30
    conda:
        "../../envs/train.yaml"
    params:
        arguments=get_arguments("composition_base"),
    message:
        "Pretraining on compositions {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule label_compositions:
    input:
        get_inputs("composition_labels"),
    output:
        "results/composition_labels/{name}/provenance.json",
    log:
        "results/logs/composition_labels/{name}.log",
    conda:
        "../../envs/light.yaml"
    params:
        arguments=get_arguments("composition_labels"),
    message:
        "Labeling {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule measure_compositions:
    input:
        get_inputs("composition_measures"),
    output:
        "results/composition_measures/{name}/provenance.json",
    log:
        "results/logs/composition_measures/{name}.log",
    conda:
        "../../envs/light.yaml"
    params:
        arguments=get_arguments("composition_measures"),
    message:
        "Measuring the experiment {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"
