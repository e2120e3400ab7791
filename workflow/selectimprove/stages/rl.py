"""Reinforcement learning from outcomes, with the trainer that `rl.method` names, such as `selectimprove.training.grpo`.

Writes ``checkpoints/step-…``, models or adapters that ``from_pretrained`` loads; ``rollouts.parquet``, every completion
with its reward; ``training.parquet``, the trainer's log (KL divergence, gradient norm, learning rate, length and more).
"""

import math
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.sources import load_function
from selectimprove.config.stages import RlStage
from selectimprove.errors import ParamsError
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import load_tokenizer, render_prompts
from selectimprove.training.rl import Reward, RlJob, load_trainer
from selectimprove.training.sampling import longest_completion
from selectimprove.training.trainer import keep_checkpoints, prepare_torch, process_number


def own_reward(function: Callable, problems: pd.DataFrame) -> Callable[[str, int], float]:
    """Make a function of completion, answer and problem a reward of completion and number of the problem."""
    rows = {row["problem_id"]: row for row in problems.to_dict("records")}

    def reward(completion: str, problem_id: int) -> float:
        found = function(completion, rows[problem_id]["answer"], dict(rows[problem_id]))
        try:
            value = float(found)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            name = getattr(function, "__name__", function)
            raise ParamsError(f"rl.reward: {name} gave {found!r} for problem {problem_id}, not a finite number")
        return value

    return reward


def choose_reward(config: RlStage, problems: pd.DataFrame) -> Reward:
    """Return the reward that the params ask for: the outcome, a coin, or the user's own function."""
    if config.rl.reward == "random":

        def toss(completions: list[str], problem_ids: list[int], step: int) -> list[float]:
            rng = random.Random(f"reward/{config.seed}/{step}/{process_number()}")
            return [float(rng.random() < 0.5) for _ in completions]

        return toss
    if config.rl.reward == "outcome":
        outcome = load_task(config.task_name).reward
        score = own_reward(lambda completion, answer, problem: outcome(completion, answer), problems)
    else:
        score = own_reward(load_function(config.rl.reward), problems)
    return lambda completions, problem_ids, step: list(map(score, completions, problem_ids))


def train_grpo(config: RlStage, inputs: dict[str, Path], folder: Path) -> None:
    """Train the policy of ``sft``, a model or an adapter on ``base``, on ``problems``."""
    prepare_torch(config.seed)
    policy = inputs["sft"] / "model"
    tokenizer = load_tokenizer(policy)
    problems = pd.read_parquet(inputs["problems"] / "problems.parquet")
    prompts = render_prompts(tokenizer, problems["prompt"], config.system_prompt)
    job = RlJob(
        config=config,
        policy=policy,
        base=inputs["base"] / "model" if "base" in inputs else None,
        prompts=problems[["problem_id"]].assign(prompt=prompts),
        max_new_tokens=longest_completion(tokenizer, config, problems),
        reward=choose_reward(config, problems),
        folder=folder,
    )
    trained = load_trainer(config.rl.method)(job)
    if process_number() == 0:
        trained.log.to_parquet(folder / "training.parquet", index=False)
        trained.rollouts.to_parquet(folder / "rollouts.parquet", index=False)
        keep_checkpoints(folder)


if __name__ == "__main__":
    run_stage(RlStage, train_grpo)
