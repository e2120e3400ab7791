"""Sampling: the engines that generate completions, and how a checkpoint answers problems.

An engine is a module, ``engine_transformers`` or ``engine_vllm``, loaded by name, so that a key covers only the engine
that is used. It has a class `Sampler`; ``rollout_arguments(settings)``, the arguments with which TRL's trainers use it;
and ``seed_rollouts(seed)``, a context in which such a trainer is made.
"""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pandas as pd
from transformers import PreTrainedTokenizerBase

from selectimprove.config.sections import Sampling
from selectimprove.config.stages import EvaluationStage, OfTask, RftStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import keeps_first_space, load_tokenizer, render_prompts


class Sampler(Protocol):
    """A checkpoint, or an adapter on ``base``, loaded by ``Sampler(checkpoint, base, sampling.vllm, seed)``."""

    def sample(
        self, prompts: list[str], temperature: float, n_samples: int, max_new_tokens: int, seed: int
    ) -> list[list[str]]:
        """Return `n_samples` completions for each prompt, drawn by the seed; at temperature 0 all are greedy."""

    def close(self) -> None:
        """Free the checkpoint's memory."""


def load_engine(sampling: Sampling) -> ModuleType:
    """Load the engine's module."""
    return importlib.import_module(f"selectimprove.training.engine_{sampling.engine}")


class Respondent:
    """A checkpoint, or an adapter on `base`, that answers problems as the config of its stage says."""

    def __init__(self, config: EvaluationStage | RftStage, checkpoint: Path, base: Path | None):
        self.config = config
        self.tokenizer = load_tokenizer(checkpoint)
        self.sampler = load_engine(config.sampling).Sampler(checkpoint, base, config.sampling.vllm, config.seed)

    def answer(self, problems: pd.DataFrame, seed: int, greedy: bool = False, opening: str = "") -> pd.DataFrame:
        """Return a row per completion: `problem_id`, `sample` and `completion`, which begins with `opening`.

        Each problem is answered once if decoded greedily, and otherwise `n_samples` times.
        """
        config = self.config
        prompts = render_prompts(self.tokenizer, problems["prompt"], config.system_prompt)
        begun = opening
        if opening:
            # A chat's turn begins without a space.
            separator = "" if config.system_prompt else " "
            prompts = [f"{prompt}{separator}{opening}" for prompt in prompts]
            begun += "" if keeps_first_space(self.tokenizer) else " "
        completions = self.sampler.sample(
            prompts,
            temperature=0.0 if greedy else config.temperature,
            n_samples=1 if greedy else config.n_samples,
            max_new_tokens=longest_completion(self.tokenizer, config, problems),
            seed=seed,
        )
        return pd.DataFrame(
            {"problem_id": problem_id, "sample": sample, "completion": f"{begun}{completion}"}
            for problem_id, samples in zip(problems["problem_id"], completions, strict=True)
            for sample, completion in enumerate(samples)
        )


def max_new_tokens(tokenizer: PreTrainedTokenizerBase, longest_response: list[str]) -> int:
    """Return the tokens of the words of the longest response, and a few for its end."""
    length = cache(lambda word: len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]))
    return sum(map(length, longest_response)) + 3


def longest_completion(tokenizer: PreTrainedTokenizerBase, config: OfTask, problems: pd.DataFrame) -> int:
    """Return how many tokens a completion may have for any of these problems of the config's task."""
    longest_response = load_task(config.task_name).longest_response
    return max_new_tokens(tokenizer, longest_response(config.task, int(problems["n_steps"].max())))


def rollout_arguments(sampling: Sampling, temperature: float, max_new_tokens: int) -> dict:
    """Return the arguments of TRL's `GRPOConfig` for the generation of rollouts."""
    drawn = {"temperature": temperature, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
    return load_engine(sampling).rollout_arguments(sampling.vllm) | drawn | {"max_completion_length": max_new_tokens}
