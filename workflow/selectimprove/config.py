"""The typed config: `params.yaml` as the user writes it, and what each stage is given of it.

Values live in ``params.yaml`` and the overlays in ``workflow/scales``; here are only their types. What must hold between
them is checked in `selectimprove.params`, and the JSON schema in ``workflow/schemas`` is generated from these types.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from selectimprove.field import is_prime

SPLITS = ("sft_train", "sft_validation", "rl", "test")


class ParamsError(ValueError):
    """A user's mistake, said in one line."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _prime(order: int) -> int:
    if not is_prime(order):
        raise ValueError(f"{order} is not prime; use a prime such as 11 or 13")
    return order


def _step_range(steps):
    whole = isinstance(steps, list | tuple) and len(steps) == 2 and all(isinstance(n, int) for n in steps)
    if not whole or not 1 <= steps[0] <= steps[1]:
        raise ValueError(f"{steps} is no range of steps; use [fewest, most] with 1 <= fewest <= most")
    return steps


def _shares(shares: dict[str, float]) -> dict[str, float]:
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"the shares add up to {sum(shares.values()):g}, not to 1")
    # A chain's split depends on the order, which keys do not see: there is only one.
    return {split: shares[split] for split in SPLITS}


Order = Annotated[int, AfterValidator(_prime)]
StepRange = Annotated[tuple[int, int], BeforeValidator(_step_range)]
Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Checkpoints = Literal["all", "last"]


class Task(Strict):
    field_order: Order
    relabel_seed: Natural
    ring_size: Positive
    split_shares: Annotated[
        dict[Literal[SPLITS], Share],
        Field(min_length=4),
        AfterValidator(_shares),
    ]


class VllmSettings(Strict):
    """`gpu_memory_utilization` is the share of a GPU's memory that vLLM takes; host and port are a server's, and count in its mode only."""

    mode: Literal["colocate", "server"]
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)]
    tensor_parallel: Positive
    server_host: str
    server_port: Positive


class Model(Strict):
    hidden_size: Positive
    n_layers: Positive
    n_heads: Positive
    n_kv_heads: Positive | None = None
    vocab_size: Positive | None = None
    intermediate_size: Positive
    rope_theta: Rate
    initializer_range: Rate


class Pretrained(Strict):
    """A checkpoint of the Hugging Face hub in place of a base model trained here; `weights` is ``hub``, a folder, or ``random``."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    weights: Annotated[str, Field(min_length=1)] = "hub"
    mirror: str | None = None
    sha256: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}


class Lora(Strict):
    rank: Positive
    alpha: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: Annotated[list[str], Field(min_length=1)]


class Optimizer(Strict):
    """AdamW."""

    adam_beta2: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Rate


class Sampling(Strict):
    """What generates completions, in RL and in evaluation; the settings of the engine that is not used do not count."""

    engine: Literal["transformers", "vllm"]
    vllm: VllmSettings | None = None


class Base(Strict):
    n_steps: Positive
    batch_size: Positive
    learning_rate: Rate
    warmup_steps: Natural
    drill_share: Share
    backward_share: Share
    max_chain_steps: Positive
    backward_sound_steps: Natural
    backward_error: Share


class Sft(Strict):
    n_train: Positive
    n_validation: Positive
    steps: StepRange
    evaluation_share: Share
    learning_rate: Rate
    batch_size: Positive
    n_epochs: Positive
    warmup_steps: Natural
    device_batch_size: Positive | None = None


class Rl(Strict):
    n_prompts: Positive
    n_steps: Positive
    prompts_per_step: Positive
    group_size: Annotated[int, Field(ge=2)]
    learning_rate: Rate
    warmup_steps: Natural
    beta: Annotated[float, Field(ge=0)]
    temperature: Rate
    checkpoint_every: Positive
    device_batch_size: Positive | None = None


class Evaluation(Strict):
    temperature: Rate
    n_samples: Positive
    n_problems: Positive
    step_ranges: Annotated[list[StepRange], Field(min_length=1)]
    checkpoints: Checkpoints


class Statistics(Strict):
    confidence: Annotated[float, Field(gt=0, lt=1)]
    n_bootstrap: Positive


class JobResources(Strict):
    """What one job asks for; a job of several GPUs spreads its batches over them."""

    cores: Positive
    gpus: Natural
    memory_gib: Rate
    minutes: Positive


class Resources(Strict):
    """`train`: base models, SFT and RL. `sample`: evaluation. `light`: all that needs no model."""

    train: JobResources
    sample: JobResources
    light: JobResources
    gpu_memory_gib: Rate | None = None


class RlProblems(Strict):
    steps: StepRange
    evaluation_share: Share


Overrides = dict[
    Literal["task", "model", "pretrained", "base", "lora", "optimizer", "sft", "rl", "sampling", "evaluation"],
    dict[str, Any],
]
"""Params laid over those of the file, by section; checked as those are."""


class Experiment(Strict):
    """A set of models: every mix after SFT and after RL on every distribution, in every variant, for every seed."""

    sft_mixes: Annotated[list[str], Field(min_length=1)]
    rl_problems: list[str]
    seeds: Annotated[list[int], Field(min_length=1)] | None = None
    overrides: Overrides = {}
    variants: Annotated[dict[str, Overrides], Field(min_length=1)] = {"default": {}}


class CompositionBase(Strict):
    """Pretraining continued on compositions."""

    n_steps: Positive
    learning_rate: Rate
    warmup_steps: Natural
    part_continue: Share


class CompositionExperiment(Strict):
    """Models whose SFT held problems of so many parts, each after SFT alone and after RL on compositions."""

    part_steps: StepRange
    base: CompositionBase | None
    sft_parts: Annotated[dict[str, StepRange], Field(min_length=1)]
    rl_parts: dict[str, StepRange]
    test_parts: StepRange
    n_problems: Positive
    overrides: Overrides = {}


class Exhibit(Strict):
    """A figure or a table: what it shows and how; `notebook` is the name of another exhibit whose notebook draws this one too."""

    experiment: str
    notebook: str | None = None
    draw: bool = True
    caption: Annotated[str, Field(min_length=1)]
    plot: dict[str, int | float | str | list[float] | list[int]] = {}


class Params(Strict):
    """All of ``params.yaml``, after the overlay of the scale."""

    scale: str
    seeds: Annotated[list[int], Field(min_length=1)]
    task: Task
    model: Model
    pretrained: Pretrained | None = None
    system_prompt: Annotated[str, Field(min_length=1)] | None = None
    base: Base
    lora: Lora | None = None
    optimizer: Optimizer
    sft: Sft
    rl: Rl
    sampling: Sampling
    evaluation: Evaluation
    statistics: Statistics
    resources: Resources
    sft_mixes: dict[str, Share]
    rl_problems: dict[str, RlProblems]
    experiments: dict[str, Experiment]
    compositions: dict[str, CompositionExperiment] = {}
    figures: dict[str, Exhibit]
    tables: dict[str, Exhibit]


class ProblemsStage(Strict):
    """One set of problems."""

    seed: int
    task: Task
    split: str
    n_problems: Positive
    steps: StepRange
    evaluation_share: Share


class DemonstrationsStage(Strict):
    """Responses to one set of problems."""

    seed: int
    task: Task
    forward_share: Share


class BaseStage(Strict):
    seed: int
    task: Task
    model: Model
    base: Base
    optimizer: Optimizer


class PretrainedStage(Strict):
    pretrained: Pretrained
    model: Model


class CompositionsStage(Strict):
    """One set of compositions; `parts` and `part_steps` are fewest and most."""

    seed: int
    task: Task
    split: str
    n_problems: Positive
    parts: StepRange
    part_steps: StepRange


class CompositionBaseStage(Strict):
    """Pretraining continued on compositions."""

    seed: int
    task: Task
    base: Base
    parts: StepRange
    part_steps: StepRange
    part_continue: Share
    optimizer: Optimizer


class SftStage(Strict):
    seed: int
    learning_rate: Rate
    batch_size: Positive
    n_epochs: Positive
    warmup_steps: Natural
    device_batch_size: Positive | None
    optimizer: Optimizer
    lora: Lora | None
    system_prompt: str | None


class RlStage(Strict):
    seed: int
    rl: Rl
    optimizer: Optimizer
    system_prompt: str | None
    sampling: Sampling


class EvaluationStage(Strict):
    seed: int
    temperature: Rate
    n_samples: Positive
    checkpoints: Checkpoints
    system_prompt: str | None
    sampling: Sampling


class LabelStage(Strict):
    task: Task


class Run(Strict):
    """One model of an experiment; ``training`` is ``sft`` or a key of ``rl_problems``."""

    variant: str
    sft: str
    training: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}/{self.sft}/{self.training}/{self.seed}"


class VariantSettings(Strict):
    """What the variants of an experiment may differ in, for its exhibits to tell."""

    task: Task
    sft: Sft
    rl: Rl


class MeasureStage(Strict):
    runs: list[Run]
    variants: dict[str, VariantSettings]
    sft_mixes: dict[str, Share]
    rl_problems: dict[str, RlProblems]
    statistics: Statistics


class CompositionMeasureStage(Strict):
    runs: list[Run]
    sft_parts: dict[str, StepRange]
    rl_parts: dict[str, StepRange]
    task: Task
    statistics: Statistics


class AuditStage(Strict):
    """All claims, those of them that are run, and by experiment the seeds and each variant's task."""

    scale: str
    claims: dict[str, dict]
    run: list[str]
    seeds: dict[str, list[int]]
    tasks: dict[str, dict[str, Task]]
    statistics: Statistics


class ExhibitStage(Strict):
    name: str
    scale: str
    caption: str
    plot: dict
    notebook: str
    notebook_source: str
