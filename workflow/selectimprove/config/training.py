"""The types of what trains in ``params.yaml``: models, adapters, the optimiser, SFT and RL."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_serializer

from selectimprove.types import NUMBER, Natural, Positive, Rate, Strict

ALL_LINEAR = "all-linear"
"""In place of names: every linear layer but the one that gives logits, whatever the architecture calls them."""


def _modules(value):
    names = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    if not names and value != ALL_LINEAR:
        raise ValueError(f"{value!r} names no layers; use a list such as [q_proj, v_proj], or {ALL_LINEAR}")
    if names and len(set(value)) < len(value):
        raise ValueError(f"{value!r} names a layer more than once; keep one of each")
    return value


TargetModules = Annotated[list[str] | Literal[ALL_LINEAR], BeforeValidator(_modules)]
"""The layers that get an adapter; checked as a whole, since each type of a union would say by itself what it misses."""


class Model(Strict):
    """The sizes of a model: of the Qwen2 that is trained from scratch, or of the pretrained checkpoint, with which they are compared."""

    hidden_size: Positive
    n_layers: Positive
    n_heads: Positive
    n_kv_heads: Positive | None = None
    """Key and value heads; null: as many as heads."""
    vocab_size: Positive | None = None
    """Tokens; null: those of the task's own tokenizer."""
    intermediate_size: Positive
    rope_theta: Rate
    """Base of the rotary position embedding."""
    initializer_range: Rate
    """Standard deviation of the initial weights."""


class Pretrained(Strict):
    """A causal language model in place of a base model trained here: any architecture that transformers knows."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    """Of the Hugging Face hub; null where `weights` is a folder with a model of one's own."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of the checkpoint's repository."""
    weights: Annotated[str, Field(min_length=1)] = "hub"
    """``hub``, a folder that holds the checkpoint, or ``random``: a Qwen2 of the sizes in `model`."""
    gguf: Annotated[str, Field(pattern=r"^[^/]+\.gguf$")] | None = None
    """File of the repository or folder whose weights are dequantised to 16 bits; null: safetensors."""
    mirror: str | None = None
    sha256: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] | None = None
    """Expected hashes, by file."""
    n_parameters: Positive | None = None
    """From which memory is estimated; null: as many as a Qwen2 of the sizes in `model` has."""

    @property
    def name(self) -> str:
        """What people call the model, fit for the name of a folder."""
        return re.sub(r"[^\w.-]", "-", (self.repository or self.weights.rstrip("/")).rpartition("/")[2])


class Lora(Strict):
    """A LoRA adapter."""

    rank: Positive
    alpha: Positive
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER]
    """Dropout in SFT; RL uses none."""
    target_modules: TargetModules
    """Names of layers, or ``all-linear``, whatever the architecture calls them."""


class Optimizer(Strict):
    """AdamW, in pretraining, SFT and RL."""

    adam_beta2: Annotated[float, Field(gt=0, lt=1), NUMBER]
    weight_decay: Annotated[float, Field(ge=0), NUMBER]
    max_grad_norm: Rate


class BaseTraining(Strict):
    """Pretraining of the base model from scratch."""

    n_steps: Positive
    """Optimiser steps."""
    batch_size: Positive
    """Documents per step."""
    learning_rate: Rate
    warmup_steps: Natural
    """Steps of linear warm-up; then linear decay."""


class Sft(Strict):
    """Supervised fine-tuning."""

    n_train: Positive
    """Prompt–response pairs."""
    n_validation: Positive
    """Pairs on which the cross-entropy is watched."""
    learning_rate: Rate
    batch_size: Positive
    """Sequences per optimiser step."""
    n_epochs: Positive
    warmup_steps: Natural
    """Steps of linear warm-up; then linear decay."""
    device_batch_size: Positive | None = None
    """Most sequences of one pass on a device; null: no bound."""


class Rl(Strict):
    """RL: GRPO, or a control in its place."""

    method: Literal["grpo", "rejection_sampling", "self_distillation"] = "grpo"
    """What trains: the others, which `rft` sets up, are controls."""
    n_prompts: Positive
    """Distinct training problems."""
    n_steps: Positive
    """Optimiser steps."""
    prompts_per_step: Positive
    """Prompts per optimiser step."""
    group_size: Annotated[int, Field(ge=2, strict=True)]
    """Completions per prompt."""
    learning_rate: Rate
    warmup_steps: Natural
    """Steps of linear warm-up; then the rate is constant."""
    beta: Annotated[float, Field(ge=0), NUMBER]
    """Weight of the KL divergence from the SFT policy."""
    temperature: Rate
    """Temperature of the rollouts."""
    reward: Literal["outcome", "random"] = "outcome"
    """``outcome``: 1 for the right answer, else 0; ``random``: a coin, a control that tells nothing of the answer."""
    checkpoint_every: Positive
    """Optimiser steps between two checkpoints."""
    device_batch_size: Positive | None = None
    """Most completions of one pass on a device; null: no bound."""

    @model_serializer(mode="wrap")
    def _without_default(self, write):
        # In keys of GRPO there is no other method, so that a control adds none to them.
        return {name: value for name, value in write(self).items() if (name, value) != ("method", "grpo")}


class Rft(Strict):
    """Rejection-sampling fine-tuning and self-distillation, in rounds that together take the prompts of `rl`."""

    n_rounds: Positive
    learning_rate: Rate
    batch_size: Positive
    device_batch_size: Positive | None = None
    """Most sequences of one pass on a device; null: no bound."""
