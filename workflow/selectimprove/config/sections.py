"""The types of the sections of `params.yaml` that are not about training, and of experiments, figures and tables."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticKnownError

from selectimprove.types import DISTINCT, NUMBER, Names, Natural, Positive, Rate, Seeds, Share, SomeNames, Strict

Checkpoints = Literal["all", "last"]
ModelStage = Literal["base", "sft", "rl", "rft", "evaluation"]
FEWEST_TOLD = 8
"""So many problems drawn at random nearly always hold both of two types."""


def _names_files(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
        what = "use at most 60 letters, digits, '_', '-' and '.', a letter or digit first"
        raise ValueError(f"'{name}' names files; {what}")
    return name


FileName = Annotated[str, AfterValidator(_names_files)]
"""A name that becomes that of a file or folder."""


class VllmSettings(Strict):
    """vLLM."""

    mode: Literal["colocate", "server"]
    """``colocate``: on the GPU that trains; ``server``: on GPUs of its own."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1), NUMBER]
    """Share of a GPU's memory that vLLM takes."""
    tensor_parallel: Positive
    """GPUs over which one model is spread."""
    server_host: str
    """Address of the server; counts in the mode ``server`` only."""
    server_port: Positive


class Sampling(Strict):
    """The engine that generates completions, in RL and in evaluation."""

    engine: Literal["transformers", "vllm"]
    vllm: VllmSettings | None = None
    """Settings of vLLM, for the engine vllm."""

    def refuse(self) -> Iterator[str]:
        if self.engine == "vllm" and self.vllm is None:
            yield "vllm: missing; the engine vllm needs its settings, as in workflow/scales/paper.yaml"


class Evaluation(Strict):
    """Generations on held-out problems."""

    temperature: Rate
    n_samples: Positive
    """Generations per problem."""
    n_problems: Positive
    """Problems per test set."""
    checkpoints: Checkpoints
    """``all`` that RL kept, or the ``last`` alone."""
    curve_problems: dict[FileName, Positive]
    """Problems for checkpoints before the last, by test set; they are not asked other sets, which no curve shows."""
    told_problems: Natural
    """Problems per test set that SFT and final RL models answer greedily, and told each strategy; 0: none."""

    def refuse(self) -> Iterator[str]:
        if 0 < self.told_problems < FEWEST_TOLD:
            few = f"{self.told_problems} may hold no problem of one type"
            yield f"told_problems: {few}; use 0 or at least {FEWEST_TOLD}"


class Statistics(Strict):
    """Intervals."""

    confidence: Annotated[float, Field(gt=0, lt=1), NUMBER]
    """Confidence of every interval."""
    n_bootstrap: Annotated[int, Field(ge=2)]
    """Resamples of problems, for intervals."""


class Alarms(Strict):
    """Bounds of trainers' logs; a training that passes one is named in the log and under its figures and tables."""

    stretch: Positive
    """Logged steps in a row that must be past a bound; a single step often is."""
    loss_rise: Rate
    """Rise of the loss above its first logged value."""
    grad_norm: Rate
    """Norm of the gradient, before it is clipped."""
    kl: Rate
    """KL divergence from the policy before RL, in nats per token."""
    cut_off: Share
    """Share of completions that the limit of length ended."""


def _countable(value):
    if value != "all" and (type(value) is not int or value < 0):
        raise ValueError(f"input should be a number of artifacts or all, not {value!r}")
    return value


class Verify(Strict):
    """The artifacts that ``snakemake verify`` checks and makes again. No result depends on it."""

    spot: Annotated[int | Literal["all"], BeforeValidator(_countable)] = 0
    """Number of artifacts made by models that are drawn and made again, or ``all``."""
    spot_seed: Natural | None = None
    """Random seed of the draw; null: another each time, printed."""
    stages: Annotated[list[ModelStage], Field(min_length=1), DISTINCT] = list(get_args(ModelStage))
    """Stages whose artifacts are drawn."""
    only: Names = []
    """Figures, tables or experiments whose artifacts are verified; empty: all."""
    checkpoints: Checkpoints = "all"
    """Checkpoints whose generations are made again; the ``last`` alone takes less than half the time."""


class JobResources(Strict):
    """Resources of one job; SFT and RL spread their batches over several GPUs."""

    cores: Positive
    """Cores. On a CPU, training and sampling use one thread: sums would depend on the number of threads."""
    gpus: Natural
    memory_gib: Rate
    minutes: Positive

    @property
    def mem_mb(self) -> int:
        return round(self.memory_gib * 1024)


class Resources(Strict):
    """Resources that jobs ask of Snakemake and a cluster's scheduler."""

    train: JobResources
    """Base models, SFT and RL."""
    sample: JobResources
    """Evaluation."""
    light: JobResources
    """Stages without a model."""


def _section_or_word(value):
    """Accept sections and words; types are checked when overrides are laid over the params."""
    if not isinstance(value, dict | str):
        raise PydanticKnownError("dict_type")
    return value


TrainedSection = Literal["model", "pretrained", "base", "lora", "optimizer", "sft", "rl", "rft"]
Section = Literal["task", TrainedSection, "sampling", "arithmetic", "evaluation"]
Overrides = dict[
    Section, Annotated[Any, BeforeValidator(_section_or_word), WithJsonSchema({"type": ["object", "string"]})]
]
"""Params laid over those of the file, by section; ``task`` is the section of the experiment's own task."""


def _plottable(value):
    items = value if isinstance(value, list) else [value]
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    if not numbers and not isinstance(value, str):
        raise ValueError("input should be a number, a text or a list of numbers")
    return value


PlotValue = Annotated[int | float | str | list[float] | list[int], BeforeValidator(_plottable)]
"""What a notebook takes; checked as a whole, since each type of a union would say by itself what it misses."""


class Experiment(Strict):
    """A set of models: every mix after SFT and after RL on every distribution, in every variant, for every seed."""

    task: str = "chains"
    """A key of ``tasks``."""
    sft_mixes: SomeNames
    """Keys of the task's ``sft_mixes``, and ``none`` for the base model without SFT."""
    rl_problems: Names
    """Keys of the task's ``rl_problems``."""
    seeds: Seeds | None = None
    """Seeds in place of those of the run."""
    overrides: Overrides = {}
    """Params with other values for this experiment."""
    variants: Annotated[dict[FileName, Overrides], Field(min_length=1)] = {"default": {}}
    """Overrides by name, each with models of its own."""


class Exhibit(Strict):
    """A figure or a table."""

    experiment: str
    """The experiment it shows."""
    notebook: FileName | None = None
    """Another figure or table whose notebook draws this one."""
    draw: bool = True
    """Whether `figures` draws it; otherwise it is drawn when asked for by name."""
    claims: str | None = None
    """An experiment whose claims are tested on each seed of this one and on all seeds; ``all``: all claims."""
    caption: Annotated[str, Field(min_length=1)]
    plot: dict[str, PlotValue] = {}
    """Parameters of the notebook."""
