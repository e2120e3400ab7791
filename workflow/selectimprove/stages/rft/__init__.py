"""Rejection-sampling fine-tuning, and self-distillation: controls that take the place of GRPO.

Each round samples completions of the model as it stands and fine-tunes it on some of them, with the loss of SFT. Rejection sampling keeps
those with the right answer (STaR, Zelikman et al. 2022; RFT, Yuan et al. 2023): the outcome filters, and no gradient goes through an advantage.
Self-distillation keeps greedy completions, right or wrong, and so is told nothing of the answer. All rounds together sample as many completions
as GRPO does, or in self-distillation one for each of its prompts.

Left by this stage, as by `selectimprove.stages.rl`, with rounds for steps: ``checkpoints/step-…``, ``rollouts.parquet`` with every completion and
its outcome, and ``training.parquet``.
"""

import shutil
from pathlib import Path

import pandas as pd

from selectimprove.config.stages import RftStage
from selectimprove.stages.rft.rounds import choose_prompts, fine_tune, sample_round, select_demonstrations
from selectimprove.training.trainer import prepare_torch


def train_rft(config: RftStage, inputs: dict[str, Path], folder: Path) -> None:
    """Train the policy of ``sft``, an adapter on ``base`` or a model of its own, on its own completions on ``problems``."""
    policy, base = inputs["sft"] / "model", inputs["base"] / "model" if "base" in inputs else None
    problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
    (folder / "checkpoints").mkdir(exist_ok=True)
    sampled, logs, part = [], [], folder / "rounds"
    part.mkdir(exist_ok=True)
    for number in range(config.rft.n_rounds):
        prepare_torch(config.seed + number)
        checkpoint = folder / "checkpoints" / f"step-{number + 1:04d}"
        chosen = problems.iloc[choose_prompts(len(problems), config.n_prompts, number, config.seed)]
        rows, log = part / f"rollouts-{number}.parquet", part / f"training-{number}.parquet"
        # A killed run goes on after its last whole round, of which the checkpoint comes last.
        if not checkpoint.exists():
            rollouts = sample_round(config, policy, base, chosen, number)
            rollouts.to_parquet(rows, index=False)
            kept = select_demonstrations(config, rollouts, problems)
            logged = fine_tune(config, policy, base, kept, part / "model")
            pd.DataFrame(logged).to_parquet(log, index=False)
            (part / "model").rename(checkpoint)
        policy = checkpoint
        sampled.append(pd.read_parquet(rows))
        logs.append(pd.read_parquet(log).assign(step=number + 1))
    pd.concat(sampled, ignore_index=True).to_parquet(folder / "rollouts.parquet", index=False)
    pd.concat(logs, ignore_index=True).to_parquet(folder / "training.parquet", index=False)
    shutil.rmtree(part)
