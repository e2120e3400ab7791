"""What training and sampling cost on this machine: `make bench-gpu`.

Runs the stages themselves, on the architecture of a scale with random weights, for a few steps: the time of a step is the difference between a
longer and a shorter run, so that starting does not count. Each is set against what the machine can do at best, measured beside it: large matrix
products for training, reading memory for sampling. Writes ``results/benchmarks/<machine>-<scale>.csv``.
"""

import argparse
import platform
import re
import sys
import tempfile
import time
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch

from selectimprove.artifacts.arithmetic import processor_info
from selectimprove.config.loading import load_params
from selectimprove.config.params import ALL_LINEAR, Lora, Model, Params, Sampling
from selectimprove.config.resolving import Case
from selectimprove.config.stages import DemonstrationsStage, PretrainedStage, ProblemsStage, RlStage, SftStage
from selectimprove.stages.demonstrations import write_demonstrations
from selectimprove.stages.pretrained import fetch_model
from selectimprove.stages.problems import generate_problems
from selectimprove.stages.rl import train_grpo
from selectimprove.stages.sft import train_sft
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import load_tokenizer, max_new_tokens, render_completions, render_prompts
from selectimprove.training.sampling import open_sampler

STEPS = (3, 13)
"""Optimiser steps of the shorter and of the longer run."""
TRAIN, FROZEN, FORWARD = 6, 4, 2
"""Operations per parameter and token: forward and both parts of backward, without gradients of frozen weights, forward alone."""


def machine_name() -> str:
    """Name the GPU, or the kind of processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU {processor_info('model name') or platform.machine()}"


def measure_products(device: str) -> float:
    """Measure operations a second of large matrix products, at the precision of training."""
    size, dtype = (8192, torch.bfloat16) if device == "cuda" else (1024, torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / best_time(lambda: left @ right)


def measure_reading(device: str) -> float:
    """Measure bytes a second that are read from memory."""
    data = torch.ones(2**30 if device == "cuda" else 2**26, device=device, dtype=torch.float32)
    return 4 * data.numel() / best_time(data.sum)


def best_time(run, repeats: int = 5) -> float:
    """Return the shortest of several times that a call takes, in seconds."""
    times = []
    for _ in range(repeats):
        synchronize()
        start = time.perf_counter()
        run()
        synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def synchronize() -> None:
    """Wait until the GPU has done what it was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> float | None:
    """Return the most memory of the GPU that torch used since the last call, in GiB; vLLM's is not in it."""
    if not torch.cuda.is_available():
        return None
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return round(peak, 1)


def write_inputs(params: Params, folder: Path) -> dict[str, Path]:
    """Write a model with random weights, demonstrations, and problems of the hardest RL distribution of the main experiment."""
    case, inputs = Case(params, "chains"), {}
    hard, easy = case.section.rl_problems["rl_6_9"], case.section.sft_problems
    task = {"task_name": case.task, "task": case.settings, "seed": 0}
    for role, split, n_problems, problems in (
        ("train", "sft_train", params.sft.batch_size * STEPS[1], easy),
        ("validation", "sft_validation", params.sft.batch_size, easy),
        ("problems", "rl", params.rl.prompts_per_step * STEPS[1], hard),
    ):
        inputs[role] = folder / role
        inputs[role].mkdir()
        generate_problems(
            ProblemsStage(**task, split=split, n_problems=n_problems, problems=problems), {}, inputs[role]
        )
        config = DemonstrationsStage(
            **task, demonstrations=case.section.sft_mixes["FB"].model_dump(exclude={"problems"})
        )
        write_demonstrations(config, {"problems": inputs[role]}, inputs[role])
    inputs["base"] = folder / "base"
    pretrained = params.pretrained.model_copy(update={"weights": "random"})
    config = PretrainedStage(
        pretrained=pretrained, model=params.model, chat=True, target_modules=params.lora.target_modules
    )
    fetch_model(config, {}, inputs["base"])
    return inputs


def time_steps(run, folder: Path) -> tuple[float, float | None]:
    """Return seconds of a step, from runs of both lengths of `STEPS`, and the peak memory."""
    seconds = []
    # The first run loads and compiles what the others find.
    for name, n_steps in (("warm-up", STEPS[0]), *((f"{n}-steps", n) for n in STEPS)):
        target = folder / name
        target.mkdir(parents=True)
        start = time.perf_counter()
        run(n_steps, target)
        synchronize()
        seconds.append(time.perf_counter() - start)
    return (seconds[2] - seconds[1]) / (STEPS[1] - STEPS[0]), peak_memory()


def measure_sft(params: Params, inputs: dict[str, Path], folder: Path) -> dict:
    """Time SFT by epochs of as many batches as steps are asked for."""
    sft = params.sft

    def run(n_steps: int, target: Path) -> None:
        few = target.with_name(f"{target.name}-demonstrations")
        few.mkdir()
        table = pd.read_parquet(inputs["train"] / "demonstrations.parquet")
        table.head(n_steps * sft.batch_size).to_parquet(few / "demonstrations.parquet")
        settings = sft.model_dump(include=set(SftStage.model_fields)) | {"n_epochs": 1}
        config = SftStage(
            seed=0, optimizer=params.optimizer, lora=params.lora, system_prompt=params.system_prompt, **settings
        )
        train_sft(config, inputs | {"train": few}, target)

    seconds, memory = time_steps(run, folder / "sft")
    inputs["sft"] = folder / "sft" / f"{STEPS[1]}-steps"
    tokenizer = load_tokenizer(inputs["base"] / "model")
    table = pd.read_parquet(inputs["train"] / "demonstrations.parquet")
    prompts = render_prompts(tokenizer, table["prompt"], params.system_prompt)
    completions = render_completions(table["completion"], params.system_prompt)
    lengths = [
        len(tokenizer(prompt + completion)["input_ids"])
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    tokens = sft.batch_size * sum(lengths) / len(lengths)
    return {
        "what": "SFT step",
        "engine": "",
        "seconds": seconds,
        "tokens": tokens,
        "memory_gib": memory,
        "operations": tokens * operations_of_training(params),
    }


def count_parameters(model: Model) -> int:
    """Count the parameters of a Qwen2 with tied embeddings."""
    width = model.hidden_size
    keys = width // model.n_heads * (model.n_kv_heads or model.n_heads)
    attention = 2 * width * width + 2 * width * keys + width + 2 * keys
    layer = attention + 3 * width * model.intermediate_size + 2 * width
    return (model.vocab_size or 0) * width + model.n_layers * layer + width


def count_adapter_parameters(model: Model, lora: Lora) -> int:
    """Count the parameters of an adapter of a Qwen2: the rank times the inputs and outputs of each layer."""
    width, inner = model.hidden_size, model.intermediate_size
    keys = width // model.n_heads * (model.n_kv_heads or model.n_heads)
    attention = {"q_proj": 2 * width, "k_proj": width + keys, "v_proj": width + keys, "o_proj": 2 * width}
    sizes = attention | dict.fromkeys(("gate_proj", "up_proj", "down_proj"), width + inner)
    modules = sizes if lora.target_modules == ALL_LINEAR else lora.target_modules
    return model.n_layers * lora.rank * sum(sizes.get(module, width + inner) for module in modules)


def operations_of_training(params: Params) -> float:
    """Count the operations of a training step per token."""
    everything = count_parameters(params.model)
    adapter = count_adapter_parameters(params.model, params.lora) if params.lora else 0
    return FROZEN * everything + TRAIN * adapter if params.lora else TRAIN * everything


def measure_grpo(params: Params, sampling: Sampling, inputs: dict[str, Path], folder: Path) -> dict:
    """Time GRPO with the rollouts of one engine; random weights hardly end a response, so lengths are the longest."""

    def run(n_steps: int, target: Path) -> None:
        rl = params.rl.model_copy(update={"n_steps": n_steps, "checkpoint_every": n_steps})
        case = Case(params, "chains")
        config = RlStage(
            task_name=case.task,
            task=case.settings,
            seed=0,
            rl=rl,
            optimizer=params.optimizer,
            system_prompt=params.system_prompt,
            sampling=sampling,
        )
        train_grpo(config, inputs, target)

    seconds, memory = time_steps(run, folder / f"rl-{sampling.engine}")
    log = pd.read_parquet(folder / f"rl-{sampling.engine}" / f"{STEPS[1]}-steps" / "training.parquet")
    tokens = log["num_tokens"].dropna().diff().mean()
    completion_tokens = params.rl.prompts_per_step * params.rl.group_size * log["completions/mean_length"].mean()
    operations = operations_of_training(params) + (FORWARD * count_parameters(params.model) if params.rl.beta else 0)
    return {
        "what": "GRPO step",
        "engine": sampling.engine,
        "seconds": seconds,
        "tokens": tokens,
        "memory_gib": memory,
        "operations": tokens * operations + completion_tokens * FORWARD * count_parameters(params.model),
    }


def measure_sampling(params: Params, sampling: Sampling, inputs: dict[str, Path]) -> dict:
    """Time the generation of evaluation, after a first call that warms up."""
    base = inputs["base"] / "model"
    tokenizer = load_tokenizer(base)
    problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
    prompts = render_prompts(tokenizer, problems["prompt"].tolist(), params.system_prompt)
    longest_response = load_task("chains").longest_response
    bound = max_new_tokens(tokenizer, longest_response(Case(params, "chains").settings, int(problems["n_steps"].max())))
    sampler = open_sampler(sampling, inputs["sft"] / "model", base if params.lora else None, seed=0)
    asked = (prompts, params.evaluation.temperature, params.evaluation.n_samples, bound)
    sampler.sample(prompts[:1], *asked[1:], seed=0)
    start = time.perf_counter()
    completions = sampler.sample(*asked, seed=1)
    seconds = time.perf_counter() - start
    sampler.close()
    tokens = sum(len(tokenizer(text)["input_ids"]) for samples in completions for text in samples)
    return {
        "what": "sampling",
        "engine": sampling.engine,
        "seconds": seconds,
        "tokens": tokens,
        "memory_gib": peak_memory(),
        "operations": tokens * FORWARD * count_parameters(params.model),
    }


def benchmark(scale: str) -> pd.DataFrame:
    """Measure everything at a scale with a pretrained architecture: a row each for SFT, GRPO and sampling, by engine."""
    params = load_params(Path("params.yaml"), {"scale": scale})
    engines = [Sampling(engine="transformers")]
    if params.sampling.vllm and find_spec("vllm"):
        engines.append(Sampling(engine="vllm", vllm=params.sampling.vllm))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    products, reading = measure_products(device), measure_reading(device)
    rows = []
    with tempfile.TemporaryDirectory() as name, redirect_stdout(sys.stderr):
        folder = Path(name)
        inputs = write_inputs(params, folder)
        rows.append(measure_sft(params, inputs, folder))
        for sampling in engines:
            rows.append(measure_grpo(params, sampling, inputs, folder))
            rows.append(measure_sampling(params, sampling, inputs))
    table = pd.DataFrame(rows)
    table["tokens_per_second"] = table["tokens"] / table["seconds"]
    # Of what the machine does at large matrix products: the model's share of the hardware's operations.
    table["utilisation"] = table["operations"] / table["seconds"] / products
    table["machine"], table["scale"] = machine_name(), scale
    table["matrix_tflops"], table["memory_gb_per_second"] = products / 1e12, reading / 1e9
    return table


def main() -> None:
    """Measure everything at one scale and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = "paper" if torch.cuda.is_available() else "rehearsal"
    parser.add_argument("--scale", choices=["paper", "rehearsal"], default=default)
    scale = parser.parse_args().scale
    table = benchmark(scale)
    name = re.sub(r"\W+", "-", f"{machine_name()} {scale}").lower()
    path = Path("results/benchmarks") / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4g")
    shown = ["what", "engine", "seconds", "tokens_per_second", "utilisation", "memory_gib"]
    print(table[shown].to_string(index=False, float_format="{:.3g}".format))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
