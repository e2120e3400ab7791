rule fetch_model:
    input:
        get_inputs("pretrained"),
    output:
        "results/pretrained/{name}/provenance.json",
    log:
        "results/logs/pretrained/{name}.log",
    priority: 40
    # Nodes of a cluster often have no network.
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        command=get_command("pretrained"),
    message:
        "Fetching the pretrained model {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


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
    threads: get_cores("base")
    resources:
        gpu=get_gpus("base"),
        mem_mb=get_memory("base"),
        runtime=get_minutes("base"),
    params:
        command=get_command("base"),
    message:
        "Pretraining the base model {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


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
    threads: get_cores("sft")
    resources:
        gpu=get_gpus("sft"),
        mem_mb=get_memory("sft"),
        runtime=get_minutes("sft"),
    params:
        command=get_command("sft"),
    message:
        "Fine-tuning {wildcards.name}"
    shell:
        "{params.command} > {log} 2>&1"


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
    threads: get_cores("rl")
    resources:
        gpu=get_gpus("rl"),
        mem_mb=get_memory("rl"),
        runtime=get_minutes("rl"),
    params:
        command=get_command("rl"),
    message:
        "Training {wildcards.name} with GRPO"
    shell:
        "{params.command} > {log} 2>&1"
