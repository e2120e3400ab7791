"""Reinforcement learning from outcomes, with TRL's `GRPOTrainer`.

Each step draws `prompts_per_step` problems and samples a group of completions for each. A completion's advantage is its
reward less the group's mean, over the group's standard deviation; the loss adds beta times the k3 estimate of the KL
divergence from the SFT policy. Steps are on-policy: one update per batch of rollouts, so the clipped ratio is 1.

Where this is not TRL's default: `loss_type`, `beta`, `temperature`, the classic k3 term (`use_bias_correction_kl` off), dropout off.

Left by this stage: ``checkpoints/step-…``, weights or adapters, loadable by ``from_pretrained``; ``rollouts.parquet`` with every completion and its
reward; ``training.parquet`` with what the trainer logs at each step (KL, gradient norm, learning rate, length).
"""

import shutil
from pathlib import Path

import pandas as pd
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from selectimprove.config import RlStage
from selectimprove.policies import is_adapter, load_model, load_tokenizer, max_new_tokens, render_prompts
from selectimprove.reward import outcome_reward
from selectimprove.sampling import load_engine, rollout_arguments
from selectimprove.stage import run_stage
from selectimprove.training import (
    MarkFinished,
    batch_arguments,
    drop_checkpoints,
    is_main_process,
    latest_checkpoint,
    prepare_torch,
    trainer_arguments,
    write_training_log,
)

WEIGHTS_AND_TOKENIZER = (
    "*.safetensors",
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "tokenizer*.json",
    "chat_template.jinja",
)


class ResumableGRPOTrainer(GRPOTrainer):
    """TRL's trainer, made to resume as if it had not been stopped.

    Its sampler draws the order of each epoch from one generator, and would begin with the first epoch's order again: the orders of the
    epochs that are done are drawn first. And where a checkpoint has a frozen adapter beside the trained one, in a folder of its
    own, transformers' trainer loads the former only.
    """

    epochs_done = 0

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler:
        sampler = super()._get_train_sampler(dataset)
        for _ in range(self.epochs_done):
            next(iter(sampler))
        return sampler

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        model = model or self.model
        if is_adapter(Path(resume_from_checkpoint)):
            model.load_adapter(resume_from_checkpoint, "default", is_trainable=True)
            model.set_adapter("default")


class Rollouts(TrainerCallback):
    """Scores completions and keeps them all, saving them with each checkpoint so that a resumed run has them too."""

    __name__ = "outcome_reward"

    def __init__(self, resumed_from: str | None, process: int):
        self.rows: list[dict] = []
        self.file = f"rollouts-{process}.parquet"
        if resumed_from:
            self.rows = pd.read_parquet(Path(resumed_from) / self.file).to_dict("records")

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
        """Collect the rollouts of all processes, by step."""
        return pd.DataFrame(gather_object(self.rows)).sort_values("step", kind="stable")

    def on_save(self, args, state, control, **_):
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        checkpoint.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(self.rows).to_parquet(checkpoint / self.file, index=False)


def keep_checkpoints(trainer_folder: Path, folder: Path) -> None:
    """Copy weights and tokenizers of all checkpoints, and drop optimiser and random states."""
    for checkpoint in trainer_folder.glob("checkpoint-*"):
        kept = folder / "checkpoints" / f"step-{int(checkpoint.name.split('-')[1]):04d}"
        kept.mkdir(parents=True, exist_ok=True)
        for pattern in WEIGHTS_AND_TOKENIZER:
            for file in checkpoint.glob(pattern):
                shutil.copy2(file, kept)
    drop_checkpoints(trainer_folder)


def train_grpo(config: RlStage, inputs: dict[str, Path], folder: Path) -> None:
    """Train the policy of ``sft``, an adapter on ``base`` or a model of its own, on ``problems``."""
    prepare_torch(config.seed)
    rl = config.rl
    policy = inputs["sft"] / "model"
    base = inputs["base"] / "model" if "base" in inputs else None
    tokenizer = load_tokenizer(policy)
    problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
    prompts = render_prompts(tokenizer, problems["prompt"], config.system_prompt)
    batch_size = rl.prompts_per_step * rl.group_size
    arguments = GRPOConfig(
        # With a rate that runs out, a policy that is late in telling the problem types apart would never get there.
        **trainer_arguments(
            folder, config.seed, rl.learning_rate, rl.warmup_steps, config.optimizer, "constant_with_warmup"
        ),
        **batch_arguments(batch_size, rl.device_batch_size),
        max_steps=rl.n_steps,
        generation_batch_size=batch_size,
        num_generations=rl.group_size,
        num_iterations=1,
        beta=rl.beta,
        use_bias_correction_kl=False,
        loss_type="dapo",
        scale_rewards="group",
        mask_truncated_completions=False,
        # Rollouts are sampled without dropout: with it, the policy that is updated would be another.
        disable_dropout=True,
        save_steps=rl.checkpoint_every,
        logging_steps=1,
        **rollout_arguments(config.sampling, rl.temperature, max_new_tokens(tokenizer, int(problems["n_steps"].max()))),
    )
    resumed_from = latest_checkpoint(folder / "trainer")
    rollouts = Rollouts(resumed_from, arguments.process_index)
    with load_engine(config.sampling).seed_rollouts(config.seed):
        trainer = ResumableGRPOTrainer(
            # TRL loads the reference policy by the model's name, so the model must come from `from_pretrained`; of an
            # adapter it keeps a frozen copy.
            model=load_model(policy, base, trainable=True),
            reward_funcs=rollouts,
            args=arguments,
            train_dataset=Dataset.from_pandas(problems[["problem_id", "answer"]].assign(prompt=prompts)),
            processing_class=tokenizer,
            callbacks=[rollouts, MarkFinished()],
        )
    if resumed_from:
        steps_done = int(Path(resumed_from).name.split("-")[1])
        trainer.epochs_done = steps_done // (len(problems) // rl.prompts_per_step)
    trainer.train(resume_from_checkpoint=resumed_from)
    table = rollouts.table()
    write_training_log(trainer, folder)
    if is_main_process():
        table.to_parquet(folder / "rollouts.parquet", index=False)
        keep_checkpoints(folder / "trainer", folder)


if __name__ == "__main__":
    run_stage(RlStage, train_grpo)
