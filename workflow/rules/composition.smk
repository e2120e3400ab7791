rule generate_compositions:
    input:
        get_inputs("compositions"),
    output:
        "results/compositions/{name}/provenance.json",
    log:
        "results/logs/compositions/{name}.log",
    priority: 40
    conda:
        "../../envs/light.yaml"
    threads: get_cores("compositions")
    resources:
        gpu=get_gpus("compositions"),
        mem_mb=get_memory("compositions"),
        runtime=get_minutes("compositions"),
    params:
        command=get_command("compositions"),
    message:
        "Generating compositions {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


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
    threads: get_cores("composition_base")
    resources:
        gpu=get_gpus("composition_base"),
        mem_mb=get_memory("composition_base"),
        runtime=get_minutes("composition_base"),
    params:
        command=get_command("composition_base"),
    message:
        "Pretraining on compositions {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


rule label_compositions:
    input:
        get_inputs("composition_labels"),
    output:
        "results/composition_labels/{name}/provenance.json",
    log:
        "results/logs/composition_labels/{name}.log",
    conda:
        "../../envs/light.yaml"
    threads: get_cores("composition_labels")
    resources:
        gpu=get_gpus("composition_labels"),
        mem_mb=get_memory("composition_labels"),
        runtime=get_minutes("composition_labels"),
    params:
        command=get_command("composition_labels"),
    message:
        "Labeling {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


rule measure_compositions:
    input:
        get_inputs("composition_measures"),
    output:
        "results/composition_measures/{name}/provenance.json",
    log:
        "results/logs/composition_measures/{name}.log",
    conda:
        "../../envs/light.yaml"
    threads: get_cores("composition_measures")
    resources:
        gpu=get_gpus("composition_measures"),
        mem_mb=get_memory("composition_measures"),
        runtime=get_minutes("composition_measures"),
    params:
        command=get_command("composition_measures"),
    message:
        "Measuring the experiment {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"
