"""GRPO with TRL's trainer, made to resume exactly and to round alike on every processor.

Each step samples a group of completions for each of some problems. A completion's advantage is its reward minus the
group's mean, divided by the group's standard deviation. The loss adds beta times the k3 estimate of the KL divergence
from the SFT policy. Steps are on-policy: one update per batch of rollouts, so the clipped ratio is 1. The knobs of `Rl`
change this. TRL's defaults differ in `beta`, `temperature`, `use_bias_correction_kl` (off here) and dropout (off).
"""

from pathlib import Path

import pandas as pd
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from selectimprove.config.stages import RlStage
from selectimprove.config.training import Rl
from selectimprove.training.policies import is_adapter, load_model, load_tokenizer
from selectimprove.training.rl import Reward, RlJob, Trained
from selectimprove.training.sampling import load_engine, rollout_arguments
from selectimprove.training.trainer import (
    MarkFinished,
    batch_arguments,
    latest_checkpoint,
    step_of,
    trainer_arguments,
    training_log,
)

RENAMED = {
    "frac_reward_zero_std": "constant_groups",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "cut_off",
}
"""Columns of TRL's log that `Trained.log` names differently."""


def knob_arguments(rl: Rl) -> dict[str, object]:
    """Return the settings that TRL has too, by its names; knobs at their defaults are not written."""
    written = rl.model_dump()
    named = {name: value for name, value in written.items() if name in GRPOConfig.__dataclass_fields__}
    if "kl_estimator" in written:
        named["use_bias_correction_kl"] = written["kl_estimator"] == "k3_corrected"
    return named


def grpo_config(config: RlStage, folder: Path, max_new_tokens: int) -> GRPOConfig:
    """Return the settings of TRL's trainer for completions of at most `max_new_tokens`."""
    rl = config.rl
    batch_size = rl.prompts_per_step * rl.group_size
    arguments = {
        # With a decaying rate, a policy that learns late to tell the problem types apart would never get there.
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
        # Rollouts are sampled without dropout: with dropout, the updated policy would be another than the sampled one.
        "disable_dropout": True,
        "save_steps": rl.checkpoint_every,
        "logging_steps": 1,
        **rollout_arguments(config.sampling, rl.temperature, max_new_tokens),
    }
    return GRPOConfig(**arguments | knob_arguments(rl))


class ReproducibleGRPOTrainer(GRPOTrainer):
    """TRL's trainer, made to resume as if it had not been stopped, with the same advantages on every processor."""

    epochs_done = 0

    def _calculate_rewards(self, *batch) -> torch.Tensor:
        # Advantages are computed in 64 bits. The last bit of MKL's 32-bit square root depends on the processor's maker,
        # and after 160 steps that makes another model (workflow/docs/design.md).
        return super()._calculate_rewards(*batch).double()

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        scored = super()._generate_and_score_completions(inputs)
        return scored | {"advantages": scored["advantages"].float()}

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler:
        sampler = super()._get_train_sampler(dataset)
        # The sampler draws each epoch's order from one generator, and would begin with the first epoch's again.
        for _ in range(self.epochs_done):
            next(iter(sampler))
        return sampler

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        model = model or self.model
        # Beside a frozen adapter in a subfolder, transformers does not load the trained one.
        if is_adapter(Path(resume_from_checkpoint)):
            model.load_adapter(resume_from_checkpoint, "default", is_trainable=True)
            model.set_adapter("default")


class Rollouts(TrainerCallback):
    """Scores this process's completions and keeps them all, saving them with each checkpoint for a resumed run."""

    __name__ = "reward"

    def __init__(self, reward: Reward, resumed_from: str | None, process: int):
        self.reward, self.file = reward, f"rollouts-{process}.parquet"
        self.rows = pd.read_parquet(Path(resumed_from) / self.file).to_dict("records") if resumed_from else []

    def __call__(self, completions: list[str], problem_id: list[int], trainer_state, **_) -> list[float]:
        step = trainer_state.global_step + 1
        rewards = self.reward(completions, problem_id, step)
        self.rows += [
            {"step": step, "problem_id": p, "completion": c, "reward": r}
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


def train(job: RlJob) -> Trained:
    """Train with GRPO; see `selectimprove.training.rl.RlTrainer`."""
    config, rl = job.config, job.config.rl
    arguments = grpo_config(config, job.folder, job.max_new_tokens)
    resumed_from = latest_checkpoint(job.folder / "trainer")
    rollouts = Rollouts(job.reward, resumed_from, arguments.process_index)
    with load_engine(config.sampling).seed_rollouts(config.seed):
        trainer = ReproducibleGRPOTrainer(
            # TRL loads the reference policy by the model's name, so the model must come from `from_pretrained`. Of an
            # adapter it keeps a frozen copy.
            model=load_model(job.policy, job.base, trainable=True),
            reward_funcs=rollouts,
            args=arguments,
            train_dataset=Dataset.from_pandas(job.prompts),
            processing_class=load_tokenizer(job.policy),
            callbacks=[rollouts, MarkFinished()],
        )
    if resumed_from:
        steps_per_epoch = len(job.prompts) // rl.prompts_per_step * rl.num_iterations
        trainer.epochs_done = step_of(resumed_from) // steps_per_epoch
    trainer.train(resume_from_checkpoint=resumed_from)
    return Trained(rollouts.table(), training_log(trainer).rename(columns=RENAMED))
