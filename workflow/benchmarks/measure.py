"""Benchmarks: what this workflow adds to its tools (`make bench`), and the speed of its stages (`make bench-gpu`).

`bench` times each call in turn with another one that does the least possible work, so that other load on the machine
slows both. `bench-gpu` runs stages with random weights, at the paper's scale on a GPU and at the rehearsal's on a CPU.
Utilisation is the number of operations per second, relative to large matrix products on the same device.
"""

import gc
import subprocess
import sys
import tempfile
import timeit
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import nbformat
import pandas as pd
import papermill
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM
from trl import GRPOConfig, GRPOTrainer

from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.reports.exporting import count_parameters
from selectimprove.stages.exhibits import draw_exhibit
from selectimprove.stages.rl import train_grpo
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import load_tokenizer
from selectimprove.training.sampling import Respondent, max_new_tokens, rollout_arguments

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
DRY_RUN = (SNAKEMAKE, "figures", "--dry-run", "--quiet", "all")
LIBRARIES = {
    "rl": "from trl import GRPOConfig, GRPOTrainer",
    "evaluation": "from transformers import AutoModelForCausalLM, AutoTokenizer",
    "labels": "import pandas",
}
GPU = torch.cuda.is_available()
SCALE = "paper" if GPU else "rehearsal"
# Steps of GRPO in `bench`, and in two runs of `bench-gpu`, whose difference is the time of ten steps.
STEPS, FEW, MANY = 8, 3, 13
# Operations per parameter and token: trained weights, frozen weights below an adapter, and a forward pass alone.
TRAIN, FROZEN, FORWARD = 6, 4, 2


def time_call(call) -> float:
    """Return the seconds that a call takes, including garbage collection."""
    return timeit.timeit(call, gc.enable, number=1)


def compare(name, ours, against, least, times=1) -> dict:
    """Time a call in turn with a smaller one, whose time is multiplied by `times`."""
    pairs = [(time_call(ours), times * time_call(least)) for _ in range(3)]
    ratios = [mine / other for mine, other in pairs]
    row = {"benchmark": name, "against": against, "ratio": median(ratios), "least": min(ratios), "most": max(ratios)}
    return row | {"seconds": median(mine for mine, _ in pairs)}


def command(*words):
    """Return a call that runs a command."""
    return partial(subprocess.run, words, check=True, stdout=subprocess.DEVNULL)


def compare_starts(plan):
    """Compare imports, a dry run, and a plan."""
    for stage, library in LIBRARIES.items():
        ours = command(sys.executable, "-c", f"import selectimprove.stages.{stage}")
        yield compare(f"importing the stage {stage}", ours, library, command(sys.executable, "-c", library))
    yield compare("planning all figures", command(*DRY_RUN), "snakemake --version", command(SNAKEMAKE, "--version"))
    params, copies = plan.params.model_copy(update={"figures": {}, "tables": {}}), {}
    for number in range(10):
        for name, each in params.experiments.items():
            # Each copy has its own seeds, so no two share a model.
            seeds = [1000 * number + seed for seed in each.seeds or params.seeds]
            copies[f"{name}_{number}"] = each.model_copy(update={"seeds": seeds})
    many, once = partial(Plan, params.model_copy(update={"experiments": copies})), partial(Plan, params)
    yield compare("a plan of ten times the experiments", many, "a plan, ten times", once, 10)


def compare_drawing(exhibit, inputs, folder):
    """Compare drawing a figure with an empty notebook, and a call with nothing to draw with Snakemake's start."""
    nbformat.write(nbformat.v4.new_notebook(), folder / "empty.ipynb")
    empty = partial(papermill.execute_notebook, folder / "empty.ipynb", None, kernel_name="python3", progress_bar=False)
    drawing = partial(draw_exhibit, exhibit.config, inputs, folder)
    yield compare(f"drawing {exhibit.slug}", drawing, "an empty notebook", empty)
    again, version = command(SNAKEMAKE, "--cores", "1", exhibit.slug), command(SNAKEMAKE, "--version")
    again()
    yield compare(f"a call for {exhibit.slug}, which is there", again, "snakemake --version", version)


def compare_labels(evaluation, inputs, folder):
    """Compare labeling a million generations with a thousand."""
    config, rows = evaluation.config, pd.read_parquet(evaluation.folder / "generations.parquet")
    rows = rows[rows["problem_set"] == rows["problem_set"].iloc[0]].head(1000)
    problems = pd.read_parquet(inputs[rows["problem_set"].iloc[0]] / "problems.parquet").to_dict("records")
    problems = list(map(load_task(config.task_name).from_row, problems))
    label, times = load_task(config.task_name).label, 1_000_000 // len(rows)

    def label_all(times):
        for number, text in times * list(zip(rows["problem_id"], rows["completion"], strict=True)):
            label(config.task, problems[number], text)

    many, against = partial(label_all, times), f"{len(rows)}, {times} times"
    yield compare("labeling a million generations", many, against, partial(label_all, 1), times)


def compare_grpo(policy, inputs, folder):
    """Compare GRPO with TRL's own trainer (same model, problems, batch, engine), and larger runs with smaller ones."""
    config, rl, trained = policy.config, policy.config.rl, inputs["sft"] / "model"

    def train(n_steps=STEPS, sft=inputs["sft"], **changes):
        changes |= {"n_steps": n_steps, "checkpoint_every": n_steps}
        changed = config.model_copy(update={"rl": rl.model_copy(update=changes)})
        train_grpo(changed, inputs | {"sft": sft}, Path(tempfile.mkdtemp(dir=folder)))

    task, problems = load_task(config.task_name), pd.read_parquet(inputs["problems"] / "problems.parquet")
    longest = task.longest_response(config.task, int(problems["n_steps"].max()))
    arguments = {
        **rollout_arguments(config.sampling, rl.temperature, max_new_tokens(load_tokenizer(trained), longest)),
        **{"per_device_train_batch_size": rl.prompts_per_step * rl.group_size, "num_generations": rl.group_size},
        **{"beta": rl.beta, "max_steps": STEPS, "gradient_checkpointing": False, "use_cpu": not GPU, "bf16": GPU},
        **{"output_dir": folder / "trl", "save_strategy": "no", "report_to": "none"},
    }

    def reward(completions, answer, **_):
        return list(map(task.reward, completions, answer))

    def train_with_trl():
        data = Dataset.from_pandas(problems[["prompt", "answer"]])
        GRPOTrainer(str(trained), reward, GRPOConfig(**arguments), data).train()

    least, twice = f"{STEPS} steps of GRPO", f"{STEPS} steps, twice"
    larger = partial(train, prompts_per_step=2 * rl.prompts_per_step)
    yield compare(least, train, "TRL's GRPOTrainer", train_with_trl)
    yield compare(f"{2 * STEPS} steps of GRPO", partial(train, 2 * STEPS), twice, train, 2)
    yield compare(f"{least} with twice the batch", larger, twice, train, 2)
    # Both models have random weights, so that they differ only in width.
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    for name, factor in (("narrow", 1), ("wide", 2)):
        model = AutoConfig.from_pretrained(trained)
        model.update({size: factor * getattr(model, size) for size in sizes})
        AutoModelForCausalLM.from_config(model).save_pretrained(folder / name / "model")
        load_tokenizer(trained).save_pretrained(folder / name / "model")
    narrow, wide = (partial(train, sft=folder / name) for name in ("narrow", "wide"))
    yield compare(f"{least} at twice the width", wide, f"{least}, random weights", narrow)


def bench(folder):
    """Make all comparisons whose artifacts exist."""
    plan = Plan(load_params(Path("params.yaml")))
    yield from compare_starts(plan)
    for compare_some, artifacts in (
        (compare_drawing, plan.exhibits.values()),
        (compare_labels, plan.artifacts["evaluation"].values()),
        (compare_grpo, plan.artifacts["rl"].values()),
    ):
        made = (each for each in artifacts if all(a.done.exists() for a in (each, *each.inputs.values())))
        if artifact := next(made, None):
            yield from compare_some(artifact, {role: a.folder.resolve() for role, a in artifact.inputs.items()}, folder)
        else:
            needed = "needs artifacts; run `snakemake --cores all figures` first"
            print(f"{compare_some.__name__}: {needed}", file=sys.stderr)


def plan_evaluation(engine, n_steps, seed=0):
    """Plan the evaluation of a policy of the main experiment with `n_steps` steps of SFT and of RL."""
    batch = load_params(Path("params.yaml"), {"scale": SCALE}).sft.batch_size
    changes = {
        "sft": {"n_train": n_steps * batch, "n_validation": batch, "n_epochs": 1},
        "rl": {"n_steps": n_steps, "checkpoint_every": n_steps},
        "sampling": {"engine": engine},
        "pretrained": {"weights": "random"},
        "seeds": [seed],
    }
    plan = Plan(load_params(Path("params.yaml"), {"scale": SCALE, **changes}))
    return plan.measures["main"].inputs[f"evaluation/default/FB/rl_6_9/{seed}"]


def make(artifact, folder) -> Path:
    """Make an artifact and its inputs, each once."""
    inputs = {role: make(source, folder) for role, source in artifact.inputs.items()}
    target = folder / artifact.name
    if not target.exists():
        target.mkdir()
        STAGES[artifact.stage].function(artifact.config, inputs, target)
    return target


def time_step(artifacts, folder) -> tuple[float, float]:
    """Return the seconds and tokens of a training step, from two runs after a first one that compiles kernels."""
    for source in (source for artifact in artifacts for source in artifact.inputs.values()):
        make(source, folder)
    _, few, many = (time_call(partial(make, artifact, folder)) for artifact in artifacts)
    log = pd.read_parquet(folder / artifacts[-1].name / "training.parquet")
    return (many - few) / (MANY - FEW), log.filter(like="num_tokens").max().max() / MANY


def bench_engine(engine, folder):
    """Measure SFT, GRPO and sampling with one engine."""
    evaluations = [plan_evaluation(engine, n_steps, seed) for n_steps, seed in ((FEW, 1), (FEW, 0), (MANY, 0))]
    policies = [evaluation.inputs["policy"] for evaluation in evaluations]
    sft = [policy.inputs["sft"] for policy in policies]
    size, device, dtype = (8192, "cuda", torch.bfloat16) if GPU else (1024, "cpu", torch.float32)
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    products = 2 * size**3 / min(time_call(lambda: (matrix @ matrix)[0, 0].item()) for _ in range(5))

    def row(what, seconds, tokens, operations):
        found = {"what": what, "engine": engine, "seconds": seconds, "tokens_per_second": tokens / seconds}
        found["utilisation"] = tokens * operations / seconds / products
        if GPU:
            found |= {"memory_gib": torch.cuda.max_memory_allocated() / 2**30, "gpu": torch.cuda.get_device_name()}
            torch.cuda.reset_peak_memory_stats()
        return found

    model, base = make(sft[0], folder) / "model", make(sft[0].inputs["base"], folder) / "model"
    forward, adapted = FORWARD * count_parameters(base), (model / "adapter_config.json").exists()
    training = TRAIN * count_parameters(model) + FROZEN * count_parameters(base) * adapted
    yield row("SFT step", *time_step(sft, folder), training)
    # Each token is sampled, and the reference of the KL divergence reads it.
    yield row("GRPO step", *time_step(policies, folder), training + forward * (1 + (policies[0].config.rl.beta > 0)))
    problems = pd.read_parquet(make(policies[-1].inputs["problems"], folder) / "problems.parquet")
    respondent, answers = Respondent(evaluations[0].config, model, base if adapted else None), []
    respondent.answer(problems.head(1), seed=0)
    seconds = time_call(lambda: answers.append(respondent.answer(problems, seed=0)))
    tokens = sum(map(len, load_tokenizer(model)(answers[0]["completion"].tolist())["input_ids"]))
    yield row("sampling", seconds, tokens, forward)


def bench_gpu(folder):
    """Measure every installed engine."""
    for engine in ["transformers", *["vllm"] * bool(find_spec("vllm"))]:
        yield from bench_engine(engine, Path(tempfile.mkdtemp(dir=folder)))


if __name__ == "__main__":
    name = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame({"bench": bench, "bench-gpu": bench_gpu}[name](Path(folder)))
    print(table.to_string(index=False, float_format="{:.3g}".format))
    Path("results/benchmarks").mkdir(parents=True, exist_ok=True)
    table.to_csv(f"results/benchmarks/{name}.csv", index=False, float_format="%.4g")
