"""TRL's GRPO trainer made to resume exactly, and the rollouts that it keeps."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import GRPOTrainer

from selectimprove.training.policies import is_adapter
from selectimprove.training.trainer import drop_checkpoints

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
    """Scores completions and keeps them all, saving them with each checkpoint so that a resumed run has them too.

    Parameters
    ----------
    reward : callable
        Of a completion and the problem's answer.
    coin : int or None
        The seed of a fair coin that is tossed in place of the reward.
    resumed_from : str or None
        A checkpoint.
    process : int
        Number of this process among those that share a batch.
    """

    __name__ = "outcome_reward"

    def __init__(self, reward: Callable[[str, int], float], coin: int | None, resumed_from: str | None, process: int):
        self.reward, self.coin, self.process = reward, coin, process
        self.rows: list[dict] = []
        self.file = f"rollouts-{process}.parquet"
        if resumed_from:
            self.rows = pd.read_parquet(Path(resumed_from) / self.file).to_dict("records")

    def __call__(
        self, completions: list[str], problem_id: list[int], answer: list[int], trainer_state, **_
    ) -> list[float]:
        step = trainer_state.global_step + 1
        if self.coin is None:
            rewards = [self.reward(c, a) for c, a in zip(completions, answer, strict=True)]
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
        for pattern in WEIGHTS_AND_TOKENIZER:
            for file in checkpoint.glob(pattern):
                shutil.copy2(file, kept)
    drop_checkpoints(trainer_folder)
