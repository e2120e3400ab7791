rule generate_problems:
    input:
        get_inputs("problems"),
    output:
        "results/problems/{name}/provenance.json",
    log:
        "results/logs/problems/{name}.log",
    conda:
        "../../envs/light.yaml"
    params:
        arguments=get_arguments("problems"),
    message:
        "Generating problems {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"


rule write_demonstrations:
    input:
        get_inputs("demonstrations"),
    output:
        "results/demonstrations/{name}/provenance.json",
    log:
        "results/logs/demonstrations/{name}.log",
    conda:
        "../../envs/light.yaml"
    params:
        arguments=get_arguments("demonstrations"),
    message:
        "Writing demonstrations {wildcards.name}"
    shell:
        "python -m {params.arguments} > {log} 2>&1"
