"""Sampling: which engine generates completions, in evaluation and for the rollouts of RL.

Each engine is a module, ``engine_transformers`` or ``engine_vllm``, with a `Sampler` for evaluation, and for RL its switches of TRL's
`GRPOConfig`, whose own generation keeps the weights in step. It is loaded by name, so that the key of an artifact covers the engine
that made it and no other.
"""

import importlib
from pathlib import Path
from types import ModuleType

from selectimprove.config.params import Sampling


def load_engine(sampling: Sampling) -> ModuleType:
    """Load the module of the engine that samples."""
    return importlib.import_module(f"selectimprove.training.engine_{sampling.engine}")


def open_sampler(sampling: Sampling, checkpoint: Path, base: Path | None, seed: int):
    """Load a checkpoint into an engine.

    Returns
    -------
    Sampler
        Its ``sample(prompts, temperature, n_samples, max_new_tokens, seed)`` returns for each prompt a list of `n_samples`
        completions, without special tokens: the same for the same seed on the same machine, the likeliest at temperature 0.
        ``close()`` frees it.
    """
    return load_engine(sampling).Sampler(checkpoint, base, sampling.vllm, seed)


def rollout_arguments(sampling: Sampling, temperature: float, max_new_tokens: int) -> dict:
    """Return the arguments of TRL's `GRPOConfig` that say how rollouts are generated."""
    return load_engine(sampling).rollout_arguments(sampling.vllm) | {
        "temperature": temperature,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "max_completion_length": max_new_tokens,
    }
