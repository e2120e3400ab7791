"""What a step of GRPO costs: against TRL's own trainer, and as steps, batch and width grow."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM
from trl import GRPOConfig, GRPOTrainer

from selectimprove.config.training import Rl
from selectimprove.dag.artifact import Artifact
from selectimprove.reports.benchmarks.pairs import compare
from selectimprove.stages.rl import train_grpo
from selectimprove.tasks.interface import load_aspect
from selectimprove.training.policies import load_model, load_tokenizer, max_new_tokens, render_prompts
from selectimprove.training.sampling import rollout_arguments
from selectimprove.training.trainer import prepare_torch

STEPS = 8
"""GRPO steps of each run that is timed."""


def measure_grpo(policy: Artifact) -> list[dict]:
    """Measure a run of GRPO as the stage does it against TRL's own trainer: same model, problems, batch and engine."""
    inputs = {role: artifact.folder.resolve() for role, artifact in policy.inputs.items()}
    rl = policy.config.rl.model_copy(update={"n_steps": STEPS, "checkpoint_every": STEPS})
    config = policy.config.model_copy(update={"rl": rl})

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train_grpo(config, inputs, Path(folder))

    def stock() -> None:
        prepare_torch(config.seed)
        tokenizer = load_tokenizer(inputs["sft"] / "model")
        problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
        task = load_aspect(config.task_name, "problems")
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

    return [compare(f"{STEPS} steps of GRPO", ours, "TRL's GRPOTrainer", stock)]


def measure_growth(policy: Artifact) -> list[dict]:
    """Measure how the time of GRPO grows with steps, batch and width; each run in a process that has begun already."""
    inputs = {role: artifact.folder.resolve() for role, artifact in policy.inputs.items()}
    once = policy.config.rl.model_copy(update={"n_steps": STEPS, "checkpoint_every": STEPS})
    longer = once.model_copy(update={"n_steps": 2 * STEPS, "checkpoint_every": 2 * STEPS})
    larger = once.model_copy(update={"prompts_per_step": 2 * once.prompts_per_step})

    def train(rl: Rl, sft: Path) -> Callable[[], object]:
        def run() -> None:
            with tempfile.TemporaryDirectory() as folder:
                train_grpo(policy.config.model_copy(update={"rl": rl}), inputs | {"sft": sft}, Path(folder))

        return run

    with tempfile.TemporaryDirectory() as folder:
        narrow, wide = Path(folder, "narrow"), Path(folder, "wide")
        # Both with random weights, so that they differ in width alone.
        for target, factor in ((narrow, 1), (wide, 2)):
            config = AutoConfig.from_pretrained(inputs["sft"] / "model")
            config.hidden_size *= factor
            config.intermediate_size *= factor
            config.num_attention_heads *= factor
            config.num_key_value_heads *= factor
            AutoModelForCausalLM.from_config(config).save_pretrained(target / "model")
            load_tokenizer(inputs["sft"] / "model").save_pretrained(target / "model")
        least = f"{STEPS} steps of GRPO"
        return [
            compare(f"{2 * STEPS} steps of GRPO", train(longer, inputs["sft"]), f"{least}, twice", train(once, inputs["sft"]), 2),
            compare(f"{least} with twice the batch", train(larger, inputs["sft"]), f"{least}, twice", train(once, inputs["sft"]), 2),
            compare(f"{least} at twice the width", train(once, wide), f"{least}, random weights", train(once, narrow)),
        ]  # fmt: skip
