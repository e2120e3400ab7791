"""Rejection-sampling fine-tuning and self-distillation: controls in place of RL.

Each round samples completions from the current model and fine-tunes it on some of them, with the loss of SFT. Rejection
sampling keeps the right ones (STaR, Zelikman et al. 2022; RFT, Yuan et al. 2023), so it has no advantages.
Self-distillation keeps greedy completions, right or wrong, so it uses no outcome at all. All rounds together sample as
many completions as RL does; self-distillation samples one for each of RL's prompts. Writes the same files as
`selectimprove.stages.rl`; a round counts as a step.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from trl import SFTConfig, SFTTrainer

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import RftStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import load_model, load_tokenizer
from selectimprove.training.sampling import Respondent
from selectimprove.training.trainer import (
    ON_COMPLETIONS,
    batch_arguments,
    completion_dataset,
    prepare_torch,
    save_weights,
    trainer_arguments,
)


def choose_prompts(n_problems: int, n_prompts: int, number: int, seed: int) -> np.ndarray:
    """Return the problems of a round, counted from 0; rounds go through all problems in ever new orders."""
    rng = np.random.default_rng(seed)
    passes = -(-(number + 1) * n_prompts // n_problems)
    order = np.concatenate([rng.permutation(n_problems) for _ in range(passes)])
    return order[number * n_prompts : (number + 1) * n_prompts]


def sample_round(config: RftStage, model: Respondent, problems: pd.DataFrame, number: int) -> pd.DataFrame:
    """Sample completions; return rows with `step` (the round from 1), `problem_id`, `completion` and `reward`."""
    outcome = load_task(config.task_name).reward
    rows = model.answer(problems, config.seed * 1000 + number, greedy=config.method == "self_distillation")
    model.sampler.close()
    answers = dict(zip(problems["problem_id"], problems["answer"], strict=True))
    rewards = list(map(outcome, rows["completion"], rows["problem_id"].map(answers)))
    return rows.assign(step=number + 1, reward=rewards)[["step", "problem_id", "completion", "reward"]]


def select_demonstrations(config: RftStage, rollouts: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
    """Return the distinct completions that a round trains on, with their prompts."""
    kept = rollouts if config.method == "self_distillation" else rollouts[rollouts["reward"] == 1]
    return kept.drop_duplicates(["problem_id", "completion"]).merge(problems[["problem_id", "prompt"]], on="problem_id")


def fine_tune(config: RftStage, policy: Path, base: Path | None, kept: pd.DataFrame, target: Path) -> list[dict]:
    """Fine-tune a model for one epoch on a round's completions, save it to `target` and return the log."""
    shutil.rmtree(target, ignore_errors=True)
    if kept.empty:
        shutil.copytree(policy, target)
        return []
    tokenizer, rft = load_tokenizer(policy), config.rft
    # Demonstrations begin with one space, whether the tokenizer kept it or not.
    demonstrations = kept.assign(completion=[f" {text.strip()}" for text in kept["completion"]])
    trainer = SFTTrainer(
        model=load_model(policy, base, trainable=True),
        args=SFTConfig(
            **trainer_arguments(target, config.seed, rft.learning_rate, 0, config.optimizer, "constant_with_warmup"),
            **batch_arguments(rft.batch_size, rft.device_batch_size),
            **ON_COMPLETIONS,
            num_train_epochs=1,
            save_strategy="no",
        ),
        train_dataset=completion_dataset(tokenizer, demonstrations, config.system_prompt),
        processing_class=tokenizer,
    )
    trainer.train()
    save_weights(trainer, tokenizer, target)
    return [row for row in trainer.state.log_history if "loss" in row]


def train_rft(config: RftStage, inputs: dict[str, Path], folder: Path) -> None:
    """Train the policy of ``sft``, a model or an adapter on ``base``, on its own completions on ``problems``."""
    policy, base = inputs["sft"] / "model", inputs["base"] / "model" if "base" in inputs else None
    problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
    parts, sampled, logs = folder / "rounds", [], []
    parts.mkdir(exist_ok=True)
    (folder / "checkpoints").mkdir(exist_ok=True)
    for number in range(config.rft.n_rounds):
        prepare_torch(config.seed + number)
        checkpoint = folder / "checkpoints" / f"step-{number + 1:04d}"
        rows, log = parts / f"rollouts-{number}.parquet", parts / f"training-{number}.parquet"
        # A round's checkpoint is written last, so a killed run resumes after its last complete round.
        if not checkpoint.exists():
            chosen = problems.iloc[choose_prompts(len(problems), config.n_prompts, number, config.seed)]
            rollouts = sample_round(config, Respondent(config, policy, base), chosen, number)
            rollouts.to_parquet(rows, index=False)
            kept = select_demonstrations(config, rollouts, problems)
            pd.DataFrame(fine_tune(config, policy, base, kept, parts / "model")).to_parquet(log, index=False)
            (parts / "model").rename(checkpoint)
        policy = checkpoint
        sampled.append(pd.read_parquet(rows))
        logs.append(pd.read_parquet(log).assign(step=number + 1))
    pd.concat(sampled, ignore_index=True).to_parquet(folder / "rollouts.parquet", index=False)
    pd.concat(logs, ignore_index=True).to_parquet(folder / "training.parquet", index=False)
    shutil.rmtree(parts)


if __name__ == "__main__":
    run_stage(RftStage, train_rft)
