"""Reinforcement learning from outcomes, with TRL's `GRPOTrainer`.

Each step draws `prompts_per_step` problems and samples a group of completions for each. A completion's advantage is its
reward less the group's mean, over the group's standard deviation; the loss adds beta times the k3 estimate of the KL
divergence from the SFT policy. Steps are on-policy: one update per batch of rollouts, so the clipped ratio is 1.

Where this is not TRL's default: `loss_type`, `beta`, `temperature`, the classic k3 term (`use_bias_correction_kl` off).

Left by this stage: ``checkpoints/step-…``, loadable by ``from_pretrained``; ``rollouts.parquet`` with every completion and its
reward; ``training.parquet`` with what the trainer logs at each step (KL, gradient norm, learning rate, length).
"""

import shutil
from pathlib import Path

import pandas as pd
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from selectimprove.config import RlStage
from selectimprove.reward import outcome_reward
from selectimprove.sampling import rollout_arguments
from selectimprove.stage import run_stage
from selectimprove.training import latest_checkpoint, prepare_torch, trainer_arguments, write_training_log

WEIGHTS_AND_TOKENIZER = ("*.safetensors", "config.json", "generation_config.json", "tokenizer*.json")


class Rollouts(TrainerCallback):
    """Scores completions and keeps them all, saving them with each checkpoint so that a resumed run has them too."""

    __name__ = "outcome_reward"

    def __init__(self, resumed_from: str | None):
        self.rows: list[dict] = []
        if resumed_from:
            self.rows = pd.read_parquet(Path(resumed_from) / "rollouts.parquet").to_dict("records")

    def __call__(
        self, completions: list[str], problem_id: list[int], answer: list[int], trainer_state, **_
    ) -> list[float]:
        rewards = [outcome_reward(c, a) for c, a in zip(completions, answer, strict=True)]
        self.rows += [
            {"step": trainer_state.global_step + 1, "problem_id": p, "completion": c, "reward": r}
            for p, c, r in zip(problem_id, completions, rewards, strict=True)
        ]
        return rewards

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)

    def on_save(self, args, state, control, **_):
        self.table().to_parquet(
            Path(args.output_dir) / f"checkpoint-{state.global_step}" / "rollouts.parquet", index=False
        )


def keep_checkpoints(trainer_folder: Path, folder: Path) -> None:
    """Copy weights and tokenizers of all checkpoints, and drop optimiser and random states."""
    for checkpoint in trainer_folder.glob("checkpoint-*"):
        kept = folder / "checkpoints" / f"step-{int(checkpoint.name.split('-')[1]):04d}"
        kept.mkdir(parents=True, exist_ok=True)
        for pattern in WEIGHTS_AND_TOKENIZER:
            for file in checkpoint.glob(pattern):
                shutil.copy2(file, kept)
    shutil.rmtree(trainer_folder)


def train_grpo(config: RlStage, inputs: dict[str, Path], folder: Path) -> None:
    """Train the policy of ``sft`` on ``problems``."""
    prepare_torch(config.seed)
    rl = config.rl
    policy = inputs["sft"] / "model"
    problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
    batch_size = rl.prompts_per_step * rl.group_size
    arguments = GRPOConfig(
        **trainer_arguments(folder, config.seed, rl.learning_rate, rl.warmup_steps),
        max_steps=rl.n_steps,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=1,
        generation_batch_size=batch_size,
        num_generations=rl.group_size,
        num_iterations=1,
        beta=rl.beta,
        use_bias_correction_kl=False,
        loss_type="dapo",
        scale_rewards="group",
        mask_truncated_completions=False,
        save_steps=rl.checkpoint_every,
        logging_steps=1,
        **rollout_arguments(rl.temperature, int(problems["n_steps"].max())),
    )
    resumed_from = latest_checkpoint(folder / "trainer")
    rollouts = Rollouts(resumed_from)
    trainer = GRPOTrainer(
        # TRL loads the reference policy by the model's name, so the model must come from `from_pretrained`.
        model=AutoModelForCausalLM.from_pretrained(policy),
        reward_funcs=rollouts,
        args=arguments,
        train_dataset=Dataset.from_pandas(problems[["prompt", "problem_id", "answer"]]),
        processing_class=AutoTokenizer.from_pretrained(policy),
        callbacks=[rollouts],
    )
    trainer.train(resume_from_checkpoint=resumed_from)
    rollouts.table().to_parquet(folder / "rollouts.parquet", index=False)
    write_training_log(trainer, folder)
    keep_checkpoints(folder / "trainer", folder)


if __name__ == "__main__":
    run_stage(RlStage, train_grpo)
