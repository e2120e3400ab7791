"""A round: which problems are asked, what is sampled, and what of it the model is fine-tuned on."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from selectimprove.config.stages import RftStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import (
    load_model,
    load_tokenizer,
    max_new_tokens,
    render_completions,
    render_prompts,
)
from selectimprove.training.sampling import open_sampler
from selectimprove.training.trainer import ON_COMPLETIONS, batch_arguments, trainer_arguments


def choose_prompts(n_problems: int, n_prompts: int, number: int, seed: int) -> np.ndarray:
    """Return the problems of a round, counted from 0: each is asked once in every pass over all of them, in an order of its own.

    Parameters
    ----------
    n_problems, n_prompts : int
        In all, and per round.
    number : int
        Of the round.
    seed : int
    """
    rng = np.random.default_rng(seed)
    passes = -(-(number + 1) * n_prompts // n_problems)
    order = np.concatenate([rng.permutation(n_problems) for _ in range(passes)])
    return order[number * n_prompts : (number + 1) * n_prompts]


def sample_round(
    config: RftStage, policy: Path, base: Path | None, problems: pd.DataFrame, number: int
) -> pd.DataFrame:
    """Sample completions of a model, with their outcomes.

    Returns
    -------
    pandas.DataFrame
        A row per completion: `step`, the round from 1; `problem_id`, `completion`, `reward`.
    """
    task, tokenizer = load_task(config.task_name), load_tokenizer(policy)
    greedy = config.method == "self_distillation"
    sampler = open_sampler(config.sampling, policy, base, config.seed)
    completions = sampler.sample(
        render_prompts(tokenizer, problems["prompt"].tolist(), config.system_prompt),
        0.0 if greedy else config.temperature,
        1 if greedy else config.n_samples,
        max_new_tokens(tokenizer, task.longest_response(config.task, int(problems["n_steps"].max()))),
        seed=config.seed * 1000 + number,
    )
    sampler.close()
    asked = zip(problems["problem_id"], problems["answer"], completions, strict=True)
    return pd.DataFrame(
        {"step": number + 1, "problem_id": problem_id, "completion": text, "reward": task.reward(text, answer)}
        for problem_id, answer, texts in asked
        for text in texts
    )


def select_demonstrations(config: RftStage, rollouts: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
    """Return what a round trains on: the right completions, or all of them, each once."""
    kept = rollouts if config.method == "self_distillation" else rollouts[rollouts["reward"] == 1]
    kept = kept.drop_duplicates(["problem_id", "completion"])
    return kept.merge(problems[["problem_id", "prompt"]], on="problem_id")


def fine_tune(
    config: RftStage, policy: Path, base: Path | None, demonstrations: pd.DataFrame, target: Path
) -> list[dict]:
    """Fine-tune a model on a round's completions, once through, into a folder; returns what the trainer logged."""
    shutil.rmtree(target, ignore_errors=True)
    if demonstrations.empty:
        shutil.copytree(policy, target)
        return []
    tokenizer = load_tokenizer(policy)
    # As demonstrations are written, whatever the tokenizer made of the first space.
    completions = [f" {text.strip()}" for text in demonstrations["completion"]]
    prompts = render_prompts(tokenizer, demonstrations["prompt"].tolist(), config.system_prompt)
    trainer = SFTTrainer(
        model=load_model(policy, base, trainable=True),
        args=SFTConfig(
            **trainer_arguments(
                target, config.seed, config.rft.learning_rate, 0, config.optimizer, "constant_with_warmup"
            ),
            **batch_arguments(config.rft.batch_size, config.rft.device_batch_size),
            **ON_COMPLETIONS,
            num_train_epochs=1,
            save_strategy="no",
            logging_steps=16,
        ),
        train_dataset=Dataset.from_dict(
            {"prompt": prompts, "completion": render_completions(completions, config.system_prompt)}
        ),
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(target)
    tokenizer.save_pretrained(target)
    return [row for row in trainer.state.log_history if "loss" in row]
