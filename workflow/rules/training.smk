rule fetch_model:
    input:
        get_inputs("pretrained"),
    output:
        "results/pretrained/{name}/provenance.json",
    log:
        "results/logs/pretrained/{name}.log",
    priority: 40
    conda:
        "../../envs/train.yaml"
    params:
        arguments=get_arguments("pretrained"),
    message:
        "Fetching the pretrained model {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule pretrain_base:
    input:
        get_inputs("base"),
    output:
        "results/base/{name}/provenance.json",
    log:
        "results/logs/base/{name}.log",
    # All else waits for base models and SFT; then the longest jobs go first, so that both ends of the graph finish together.
    priority: 30
    conda:
        "../../envs/train.yaml"
    params:
        arguments=get_arguments("base"),
    message:
        "Pretraining the base model {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule train_sft:
    input:
        get_inputs("sft"),
    output:
        "results/sft/{name}/provenance.json",
    log:
        "results/logs/sft/{name}.log",
    priority: 20
    conda:
        "../../envs/train.yaml"
    params:
        arguments=get_arguments("sft"),
    message:
        "Fine-tuning {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule train_grpo:
    input:
        get_inputs("rl"),
    output:
        "results/rl/{name}/provenance.json",
    log:
        "results/logs/rl/{name}.log",
    priority: 10
    conda:
        "../../envs/train.yaml"
    params:
        arguments=get_arguments("rl"),
    message:
        "Training {wildcards.name} with GRPO"
    shell:
        "python -m {params.arguments} > {log} 2>&1"
