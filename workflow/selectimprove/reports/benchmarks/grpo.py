"""What a step of GRPO costs: against TRL's own trainer, and as steps, batch and width grow."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM
from trl import GRPOConfig, GRPOTrainer

from selectimprove.dag.artifact import Artifact
from selectimprove.reports.benchmarks.pairs import compare
from selectimprove.stages.rl import train_grpo
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import load_model, load_tokenizer, max_new_tokens, render_prompts
from selectimprove.training.sampling import rollout_arguments
from selectimprove.training.trainer import prepare_torch

STEPS = 8
"""GRPO steps of each run that is timed."""


def inputs_of(artifact: Artifact) -> dict[str, Path]:
    """Return the folders that an artifact is made from, by role, as a stage is given them."""
    return {role: source.folder.resolve() for role, source in artifact.inputs.items()}


def training(policy: Artifact, sft: Path | None = None, n_steps: int = STEPS, **settings) -> Callable[[], None]:
    """Return a call that trains as the stage does, for few steps, from an SFT model or the policy's own."""
    rl = policy.config.rl.model_copy(update={"n_steps": n_steps, "checkpoint_every": n_steps, **settings})
    inputs = inputs_of(policy) | ({"sft": sft} if sft else {})

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train_grpo(policy.config.model_copy(update={"rl": rl}), inputs, Path(folder))

    return run


def measure_grpo(policy: Artifact) -> list[dict]:
    """Measure a run of GRPO as the stage does it against TRL's own trainer: same model, problems, batch and engine."""
    inputs, config, rl = inputs_of(policy), policy.config, policy.config.rl

    def stock() -> None:
        prepare_torch(config.seed)
        tokenizer = load_tokenizer(inputs["sft"] / "model")
        problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
        task = load_task(config.task_name)
        longest = max_new_tokens(tokenizer, task.longest_response(config.task, int(problems["n_steps"].max())))
        prompts = render_prompts(tokenizer, problems["prompt"], config.system_prompt)
        batch = rl.prompts_per_step * rl.group_size
        with tempfile.TemporaryDirectory() as folder:
            arguments = GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=batch,
                generation_batch_size=batch,
                num_generations=rl.group_size,
                max_steps=STEPS,
                beta=rl.beta,
                learning_rate=rl.learning_rate,
                use_cpu=not torch.cuda.is_available(),
                bf16=torch.cuda.is_available(),
                gradient_checkpointing=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **rollout_arguments(config.sampling, rl.temperature, longest),
            )
            trainer = GRPOTrainer(
                model=load_model(inputs["sft"] / "model", trainable=True),
                reward_funcs=lambda completions, answer, **_: list(map(task.reward, completions, answer)),
                args=arguments,
                train_dataset=Dataset.from_pandas(problems[["answer"]].assign(prompt=prompts)),
                processing_class=tokenizer,
            )
            trainer.train()

    return [compare(f"{STEPS} steps of GRPO", training(policy), "TRL's GRPOTrainer", stock)]


def measure_growth(policy: Artifact) -> list[dict]:
    """Measure how the time of GRPO grows with steps, batch and width; each run in a process that has begun already."""
    trained = inputs_of(policy)["sft"] / "model"
    once, longer = training(policy), training(policy, n_steps=2 * STEPS)
    larger = training(policy, prompts_per_step=2 * policy.config.rl.prompts_per_step)
    with tempfile.TemporaryDirectory() as folder:
        narrow, wide = Path(folder, "narrow"), Path(folder, "wide")
        # Both with random weights, so that they differ in width alone.
        for target, factor in ((narrow, 1), (wide, 2)):
            config = AutoConfig.from_pretrained(trained)
            config.hidden_size *= factor
            config.intermediate_size *= factor
            config.num_attention_heads *= factor
            config.num_key_value_heads *= factor
            AutoModelForCausalLM.from_config(config).save_pretrained(target / "model")
            load_tokenizer(trained).save_pretrained(target / "model")
        least = f"{STEPS} steps of GRPO"
        return [
            compare(f"{2 * STEPS} steps of GRPO", longer, f"{least}, twice", once, 2),
            compare(f"{least} with twice the batch", larger, f"{least}, twice", once, 2),
            compare(f"{least} at twice the width", training(policy, wide), f"{least}, random weights", training(policy, narrow)),
        ]  # fmt: skip
