"""TRL's GRPO trainer made to resume exactly and to round alike everywhere, the rollouts that it keeps, and a reward of a user's own."""

import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import GRPOTrainer

from selectimprove.training.policies import FILES, is_adapter
from selectimprove.training.trainer import drop_checkpoints
from selectimprove.types import ParamsError


class ReproducibleGRPOTrainer(GRPOTrainer):
    """TRL's trainer, made to resume as if it had not been stopped, and to have the same advantages on every processor.

    Its sampler draws the order of each epoch from one generator, and would begin with the first epoch's order again: the orders of the
    epochs that are done are drawn first. And where a checkpoint has a frozen adapter beside the trained one, in a folder of its
    own, transformers' trainer loads the former only.

    Advantages are computed in 64 bits and rounded to 32. The standard deviation of a group's rewards is a root, and MKL's root of 32 bits is the right
    one or its neighbour, by the maker of the processor: after 160 steps that is another model (workflow/docs/design.md).
    """

    epochs_done = 0

    def _calculate_rewards(self, *batch) -> torch.Tensor:
        return super()._calculate_rewards(*batch).double()

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        scored = super()._generate_and_score_completions(inputs)
        return scored | {"advantages": scored["advantages"].float()}

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


def own_reward(function: Callable, problems: pd.DataFrame) -> Callable[[str, int], float]:
    """Make a user's function a reward of a completion and the number of its problem.

    Parameters
    ----------
    function : callable
        ``function(completion, answer, problem)`` of the completion's text, the right answer and a dict of what `problems` says of the problem.
    problems : pandas.DataFrame
        With `problem_id` and `answer`.

    Returns
    -------
    callable
        Raises `ParamsError` where the function gives no finite number.
    """
    rows = {row["problem_id"]: row for row in problems.to_dict("records")}

    def reward(completion: str, problem_id: int) -> float:
        problem = rows[problem_id]
        found = function(completion, problem["answer"], dict(problem))
        try:
            value = float(found)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            name = getattr(function, "__name__", function)
            raise ParamsError(f"rl.reward: {name} gave {found!r} for problem {problem_id}, not a finite number")
        return value

    return reward


class Rollouts(TrainerCallback):
    """Scores completions and keeps them all, saving them with each checkpoint so that a resumed run has them too.

    Parameters
    ----------
    reward : callable
        Of a completion and the problem's number.
    coin : int or None
        The seed of a fair coin that is tossed in place of the reward.
    resumed_from : str or None
        A checkpoint.
    process : int
        Number of this process among those that share a batch.
    """

    __name__ = "reward"

    def __init__(self, reward: Callable[[str, int], float], coin: int | None, resumed_from: str | None, process: int):
        self.reward, self.coin, self.process = reward, coin, process
        self.rows: list[dict] = []
        self.file = f"rollouts-{process}.parquet"
        if resumed_from:
            self.rows = pd.read_parquet(Path(resumed_from) / self.file).to_dict("records")

    def __call__(self, completions: list[str], problem_id: list[int], trainer_state, **_) -> list[float]:
        step = trainer_state.global_step + 1
        if self.coin is None:
            rewards = [self.reward(c, p) for c, p in zip(completions, problem_id, strict=True)]
        else:
            rng = random.Random(f"reward/{self.coin}/{step}/{self.process}")
            rewards = [float(rng.random() < 0.5) for _ in completions]
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


def keep_checkpoints(trainer_folder: Path, folder: Path) -> None:
    """Copy weights and tokenizers of all checkpoints, and drop optimiser and random states."""
    for checkpoint in trainer_folder.glob("checkpoint-*"):
        kept = folder / "checkpoints" / f"step-{int(checkpoint.name.split('-')[1]):04d}"
        kept.mkdir(parents=True, exist_ok=True)
        for pattern in FILES:
            for file in checkpoint.glob(pattern):
                shutil.copy2(file, kept)
    drop_checkpoints(trainer_folder)
