"""Reinforcement learning from outcomes, with TRL's `GRPOTrainer`.

Each step draws `prompts_per_step` problems and samples a group of completions for each. A completion's advantage is its
reward less the group's mean, over the group's standard deviation; the loss adds beta times the k3 estimate of the KL
divergence from the SFT policy. Steps are on-policy: one update per batch of rollouts, so the clipped ratio is 1. The knobs of `Rl` say otherwise
where they are not at their defaults.

Where this is not TRL's default: `beta`, `temperature`, the classic k3 term (`use_bias_correction_kl` off), dropout off.

Left by this stage: ``checkpoints/step-…``, weights or adapters, loadable by ``from_pretrained``; ``rollouts.parquet`` with every completion and its
reward; ``training.parquet`` with what the trainer logs at each step (KL, gradient norm, learning rate, length).
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from datasets import Dataset
from trl import GRPOConfig

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.sources import load_function
from selectimprove.config.stages import RlStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.grpo import ReproducibleGRPOTrainer, Rollouts, keep_checkpoints, own_reward
from selectimprove.training.policies import load_model, load_tokenizer, max_new_tokens, render_prompts
from selectimprove.training.sampling import load_engine, rollout_arguments
from selectimprove.training.trainer import (
    MarkFinished,
    batch_arguments,
    is_main_process,
    latest_checkpoint,
    prepare_torch,
    trainer_arguments,
    write_training_log,
)


def grpo_config(config: RlStage, folder: Path, longest: int) -> GRPOConfig:
    """Return what TRL's trainer is told, for completions of at most so many tokens; the knobs that are not at their defaults come last."""
    rl = config.rl
    batch_size = rl.prompts_per_step * rl.group_size
    arguments = {
        # With a rate that runs out, a policy that is late in telling the problem types apart would never get there.
        **trainer_arguments(
            folder, config.seed, rl.learning_rate, rl.warmup_steps, config.optimizer, "constant_with_warmup"
        ),
        **batch_arguments(batch_size, rl.device_batch_size),
        "max_steps": rl.n_steps,
        "generation_batch_size": batch_size,
        "num_generations": rl.group_size,
        "num_iterations": 1,
        "beta": rl.beta,
        "use_bias_correction_kl": False,
        "loss_type": "dapo",
        "scale_rewards": "group",
        "mask_truncated_completions": False,
        # Rollouts are sampled without dropout: with it, the policy that is updated would be another.
        "disable_dropout": True,
        "save_steps": rl.checkpoint_every,
        "logging_steps": 1,
        **rollout_arguments(config.sampling, rl.temperature, longest),
    }
    return GRPOConfig(**arguments | rl.grpo_arguments)


def choose_reward(config: RlStage, problems: pd.DataFrame) -> Callable[[str, int], float]:
    """Return the reward of a completion and the number of its problem: the outcome, or the user's own."""
    if config.rl.own_reward:
        return own_reward(load_function(config.rl.own_reward), problems)
    outcome = load_task(config.task_name).reward
    answers = dict(zip(problems["problem_id"], problems["answer"], strict=True))
    return lambda completion, problem_id: outcome(completion, answers[problem_id])


def train_grpo(config: RlStage, inputs: dict[str, Path], folder: Path) -> None:
    """Train the policy of ``sft``, an adapter on ``base`` or a model of its own, on ``problems``."""
    prepare_torch(config.seed)
    rl = config.rl
    policy = inputs["sft"] / "model"
    base = inputs["base"] / "model" if "base" in inputs else None
    tokenizer = load_tokenizer(policy)
    problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
    prompts = render_prompts(tokenizer, problems["prompt"], config.system_prompt)
    task = load_task(config.task_name)
    longest = task.longest_response(config.task, int(problems["n_steps"].max()))
    arguments = grpo_config(config, folder, max_new_tokens(tokenizer, longest))
    resumed_from = latest_checkpoint(folder / "trainer")
    coin = config.seed if rl.reward == "random" else None
    rollouts = Rollouts(choose_reward(config, problems), coin, resumed_from, arguments.process_index)
    with load_engine(config.sampling).seed_rollouts(config.seed):
        trainer = ReproducibleGRPOTrainer(
            # TRL loads the reference policy by the model's name, so the model must come from `from_pretrained`; of an
            # adapter it keeps a frozen copy.
            model=load_model(policy, base, trainable=True),
            reward_funcs=rollouts,
            args=arguments,
            train_dataset=Dataset.from_pandas(problems[["problem_id"]].assign(prompt=prompts)),
            processing_class=tokenizer,
            callbacks=[rollouts, MarkFinished()],
        )
    if resumed_from:
        steps_done = int(Path(resumed_from).name.split("-")[1])
        trainer.epochs_done = steps_done // (len(problems) // rl.prompts_per_step * rl.num_iterations)
    trainer.train(resume_from_checkpoint=resumed_from)
    table = rollouts.table()
    write_training_log(trainer, folder)
    if is_main_process():
        table.to_parquet(folder / "rollouts.parquet", index=False)
        keep_checkpoints(folder / "trainer", folder)


if __name__ == "__main__":
    run_stage(RlStage, train_grpo)
