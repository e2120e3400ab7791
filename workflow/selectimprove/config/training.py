"""The types of ``params.yaml`` for training: models, adapters, the optimiser, SFT and RL."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from selectimprove.config.sources import find_mistake
from selectimprove.types import NUMBER, Natural, Positive, Rate, Strict

ALL_LINEAR = "all-linear"
"""In place of names: every linear layer except the output layer."""
QWEN2_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear layers of a Qwen2; any of them may get an adapter."""


def _modules(value):
    names = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    if not names and value != ALL_LINEAR:
        raise ValueError(f"{value!r} names no layers; use a list such as [q_proj, v_proj], or {ALL_LINEAR}")
    if names and len(set(value)) < len(value):
        raise ValueError(f"{value!r} names a layer more than once; keep one of each")
    return value


TargetModules = Annotated[list[str] | Literal[ALL_LINEAR], BeforeValidator(_modules)]
"""The layers that get an adapter. One validator for both: pydantic would report a mistake for each type of a union."""

Arithmetic = Literal["portable", "fast"]

ReportTo = Literal["none", "tensorboard", "trackio", "wandb"]
REPORT_TO = "SELECTIMPROVE_REPORT_TO"
"""The environment variable that passes the param `report_to` to a job; no result depends on it."""
RUN_NAME = "SELECTIMPROVE_RUN_NAME"
"""The environment variable with the name of a training in the library that it reports to."""

REWARD = r"outcome|random|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


def knob(default):
    """Return the default of a field that keys leave out while it has this value, so a new such field changes no key."""
    # In `Rl`, the default is that of TRL or of our code that calls TRL; a test compares them.
    return Field(default, exclude_if=lambda value: value == default)


class Model(Strict):
    """The sizes of a Qwen2 that is trained from scratch, or those that a pretrained checkpoint must have."""

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

    def refuse_qwen2(self) -> Iterator[str]:
        """Yield a line per size that a Qwen2 cannot have; other architectures may."""
        if self.hidden_size % self.n_heads:
            yield f"n_heads: {self.n_heads} heads do not divide hidden_size {self.hidden_size}"
        elif self.hidden_size // self.n_heads % 2:
            sizes = f"{self.n_heads} heads of hidden_size {self.hidden_size} have an odd size each"
            yield f"n_heads: {sizes}; rotary positions take an even one"
        if self.n_heads % (self.n_kv_heads or 1):
            yield f"n_kv_heads: {self.n_kv_heads} do not divide the {self.n_heads} heads"


class Pretrained(Strict):
    """A causal language model of any architecture that transformers knows, in place of a base model trained here."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    """A repository of the Hugging Face hub; null if `weights` is a folder."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of the checkpoint's repository."""
    weights: Annotated[str, Field(min_length=1)] = "hub"
    """``hub``, a folder that holds the checkpoint, or ``random``: a Qwen2 of the sizes in `model`."""
    gguf: Annotated[str, Field(pattern=r"^[^/]+\.gguf$")] | None = None
    """A GGUF file of the repository or folder; its weights are dequantised to 16 bits. null: safetensors."""
    mirror: str | None = None
    sha256: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] | None = None
    """Expected hashes, by file."""

    def refuse(self) -> Iterator[str]:
        if self.weights == "hub" and not (self.repository and self.revision):
            yield "weights: 'hub' needs repository and revision; or name a folder that holds the model"

    @property
    def name(self) -> str:
        """The name of the model, as a folder name."""
        return re.sub(r"[^\w.-]", "-", (self.repository or self.weights.rstrip("/")).rpartition("/")[2])


class Lora(Strict):
    """A LoRA adapter."""

    rank: Positive
    alpha: Positive
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER]
    """Dropout in SFT; RL uses none."""
    target_modules: TargetModules
    """Names of layers, or ``all-linear`` for those of any architecture."""


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
    """Most sequences per pass on a device; null: no limit."""


def _is_reward(value: str) -> str:
    if not re.fullmatch(REWARD, value):
        use = "use outcome, random or a function of your own, as package.module:function"
        raise ValueError(f"{value!r} is no reward; {use}")
    return value


class Rl(Strict):
    """RL: GRPO, or a control in its place."""

    method: Literal["grpo", "rejection_sampling", "self_distillation"] = knob("grpo")
    """How to train. Methods other than GRPO are controls, with settings in `rft`."""
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
    reward: Annotated[str, AfterValidator(_is_reward), Field(json_schema_extra={"pattern": f"^({REWARD})$"})] = (
        "outcome"
    )
    """``outcome``: 1 for the right answer, else 0; ``random``: a coin; or ``package.module:function`` (Extending)."""
    checkpoint_every: Positive
    """Optimiser steps between two checkpoints."""
    device_batch_size: Positive | None = None
    """Most completions per pass on a device; null: no limit."""
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = knob("dapo")
    """GRPO: how the losses of tokens are clipped and averaged, as TRL names it."""
    scale_rewards: Literal["group", "batch", "none"] = knob("group")
    """GRPO: divide advantages by the standard deviation of the group, of the batch, or by none."""
    importance_sampling_level: Literal["token", "sequence"] = knob("token")
    """GRPO: one ratio of probabilities per token, or one per sequence, as in GSPO."""
    epsilon: Rate = knob(0.2)
    """GRPO: the ratio of probabilities is clipped to [1 − epsilon, 1 + epsilon]."""
    epsilon_high: Rate | None = knob(None)
    """GRPO: replaces epsilon in the upper bound, as in DAPO; for cispo it is the bound itself. null: epsilon."""
    num_iterations: Positive = knob(1)
    """GRPO: optimiser steps, of the ``n_steps``, on the same rollouts; the second and later are off-policy."""
    kl_estimator: Literal["k3", "k3_corrected"] = knob("k3")
    """GRPO: ``k3``, as in its paper; ``k3_corrected``: times the ratio, for the gradient of the reverse KL."""
    top_p: Annotated[float, Field(gt=0, le=1), NUMBER] = knob(1.0)
    """Nucleus sampling: rollouts are sampled from the likeliest tokens that have this share of the probability."""

    def refuse(self) -> Iterator[str]:
        # From the documentation of TRL 1.16's `GRPOConfig`, and from what its `GRPOTrainer` refuses.
        if self.prompts_per_step > self.n_prompts:
            yield f"prompts_per_step: {self.prompts_per_step} is more than n_prompts {self.n_prompts}"
        if self.is_control and self.reward != "outcome":
            only = f"{self.reward} is for `method: grpo`; {self.method} takes no reward but the outcome"
            yield f"reward: {only}: set `reward: outcome` beside it"
        elif self.own_reward and (mistake := find_mistake(self.own_reward, "completion", "answer", "problem")):
            yield f"reward: {mistake}"
        if self.is_control and self.top_p != 1:
            only = f"{self.top_p:g} is for `method: grpo`; {self.method} samples with 1"
            yield f"top_p: {only}: set `top_p: 1.0` beside it"
        level, needed = self.importance_sampling_level, {"luspo": "sequence", "vespo": "token"}.get(self.loss_type)
        if needed and level != needed:
            yield f"importance_sampling_level: {self.loss_type} takes '{needed}', not '{level}'"
        bound = self.epsilon_high or self.epsilon
        if self.loss_type == "cispo" and bound < 1:
            what = f"cispo bounds the ratio itself, which is about 1, by {bound:g}"
            yield f"epsilon_high: {what}; use a number above 1, such as 5"
        if self.checkpoint_every % self.num_iterations:
            what = f"{self.num_iterations} does not divide checkpoint_every {self.checkpoint_every}"
            yield f"num_iterations: {what}; a run that resumes from a checkpoint samples anew there"

    @property
    def is_control(self) -> bool:
        """Whether the model is fine-tuned on its own completions instead of trained by RL."""
        return self.method in ("rejection_sampling", "self_distillation")

    @property
    def n_batches(self) -> int:
        """Batches of rollouts; `num_iterations` optimiser steps are taken on each."""
        return -(-self.n_steps // self.num_iterations)

    @property
    def own_reward(self) -> str | None:
        """The user's own reward function, if there is one."""
        return self.reward if ":" in self.reward else None


class Rft(Strict):
    """Rejection-sampling fine-tuning and self-distillation; the rounds share the prompts of `rl`."""

    n_rounds: Positive
    learning_rate: Rate
    batch_size: Positive
    device_batch_size: Positive | None = None
    """Most sequences per pass on a device; null: no limit."""
