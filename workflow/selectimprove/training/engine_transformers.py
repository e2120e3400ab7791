"""The sampling engine that runs wherever torch runs: transformers' `generate`."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from selectimprove.config.sections import VllmSettings
from selectimprove.training.policies import load_model, load_tokenizer

BATCH = 512
"""Completions generated at once; the number affects memory and speed only."""


class Sampler:
    """A checkpoint, or an adapter on `base`; this engine has no settings, and each call to `sample` is seeded."""

    def __init__(self, checkpoint: Path, base: Path | None, settings: VllmSettings | None, seed: int):
        self.tokenizer = load_tokenizer(checkpoint)
        self.model = load_model(checkpoint, base).eval()
        if torch.cuda.is_available():
            self.model.to("cuda")

    @torch.no_grad()
    def sample(
        self, prompts: list[str], temperature: float, n_samples: int, max_new_tokens: int, seed: int
    ) -> list[list[str]]:
        """Sample completions, as `selectimprove.training.sampling.Sampler` says."""
        torch.manual_seed(seed)
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i].split()))
        completions: list[list[str]] = [[] for _ in prompts]
        per_batch = max(1, BATCH // n_samples)
        for first in range(0, len(prompts), per_batch):
            chosen = by_length[first : first + per_batch]
            batch = self.tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True, padding_side="left")
            drawn = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
            generated = self.model.generate(
                **batch.to(self.model.device),
                **(drawn if temperature else {"do_sample": False}),
                # The generation config of Qwen2.5 sets another.
                repetition_penalty=1.0,
                num_return_sequences=n_samples,
                max_new_tokens=max_new_tokens,
            )
            texts = self.tokenizer.batch_decode(generated[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
            for position, i in enumerate(chosen):
                completions[i] = texts[position * n_samples : (position + 1) * n_samples]
        return completions

    def close(self) -> None:
        del self.model


def rollout_arguments(settings: VllmSettings | None) -> dict:
    """Return the arguments with which TRL's trainers use this engine for rollouts."""
    return {"use_vllm": False}


def seed_rollouts(seed: int) -> AbstractContextManager:
    """Do nothing: rollouts are drawn by the trainer's own seed."""
    return nullcontext()
