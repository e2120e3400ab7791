"""The interface between the stage `rl` and its trainers, of which `selectimprove.training.grpo` is one.

A trainer is a module of this folder with a function ``train`` that fits `RlTrainer`. It is loaded by its name,
`rl.method` in the params, so that a key covers only the trainer that is used.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import pandas as pd

from selectimprove.config.stages import RlStage

Reward = Callable[[list[str], list[int], int], list[float]]
"""Scores completions, given the numbers of their problems and the step from 1."""


@dataclass(frozen=True)
class RlJob:
    """Everything that a trainer is given."""

    config: RlStage
    policy: Path
    """The checkpoint to train: a model, or an adapter on `base`."""
    base: Path | None
    prompts: pd.DataFrame
    """`problem_id` and `prompt`, as the model is prompted."""
    max_new_tokens: int
    """Most tokens of a completion."""
    reward: Reward
    folder: Path
    """Where the stage works; checkpoints go to ``trainer/checkpoint-<step>`` in it."""


class Trained(NamedTuple):
    """What a trainer returns."""

    rollouts: pd.DataFrame
    """`step`, `problem_id`, `completion` and `reward` of every completion that was sampled."""
    log: pd.DataFrame
    """A row per logged step: `step`, and what applies of `LOGGED` in `selectimprove.analysis.training_logs`."""


class RlTrainer(Protocol):
    """Trains a policy by RL."""

    def __call__(self, job: RlJob) -> Trained:
        """Train to the end, saving a checkpoint every `rl.checkpoint_every` steps and at the end.

        If an earlier run was stopped, go on from `selectimprove.training.trainer.latest_checkpoint` to the same result.
        """


def load_trainer(method: str) -> RlTrainer:
    """Load the trainer that `rl.method` names."""
    return importlib.import_module(f"selectimprove.training.{method}").train
