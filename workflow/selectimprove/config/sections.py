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
"""With this many random problems, both of two types nearly always occur."""


def _names_files(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
        what = "use at most 60 letters, digits, '_', '-' and '.', a letter or digit first"
        raise ValueError(f"'{name}' names files; {what}")
    return name


FileName = Annotated[str, AfterValidator(_names_files)]
"""A name that becomes the name of a file or folder."""


class VllmSettings(Strict):
    """vLLM."""

    mode: Literal["colocate", "server"]
    """``colocate``: on the GPUs of the training; ``server``: on other GPUs."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1), NUMBER]
    """Share of a GPU's memory that vLLM takes."""
    tensor_parallel: Positive
    """GPUs per model."""
    server_host: str
    """Address of the server, for the mode ``server``."""
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
    """``all`` checkpoints that RL kept, or only the ``last``."""
    curve_problems: dict[FileName, Positive]
    """Problems for checkpoints before the last, by test set; they are not asked other sets, which no curve shows."""
    told_problems: Natural
    """Problems per test set that SFT and final RL models also answer greedily, and when told each strategy; 0: none."""

    def refuse(self) -> Iterator[str]:
        if 0 < self.told_problems < FEWEST_TOLD:
            few = f"{self.told_problems} may hold no problem of one type"
            yield f"told_problems: {few}; use 0 or at least {FEWEST_TOLD}"


class Statistics(Strict):
    """Intervals."""

    confidence: Annotated[float, Field(gt=0, lt=1), NUMBER]
    """Confidence of every interval."""
    n_bootstrap: Annotated[int, Field(ge=2)]
    """Bootstrap resamples of problems."""


class Alarms(Strict):
    """Limits of logged values; a training that exceeds one is named in its log and under its figures and tables."""

    stretch: Positive
    """Logged steps in a row that must exceed a limit; single steps often do."""
    loss_rise: Rate
    """Rise of the loss above its first logged value."""
    grad_norm: Rate
    """Norm of the gradient, before it is clipped."""
    kl: Rate
    """KL divergence from the policy before RL, in nats per token."""
    cut_off: Share
    """Share of completions that are cut off at the maximum length."""


def _countable(value):
    if value != "all" and (type(value) is not int or value < 0):
        raise ValueError(f"input should be a number of artifacts or all, not {value!r}")
    return value


class Verify(Strict):
    """Artifacts that ``snakemake verify`` checks and makes again. No result depends on it."""

    spot: Annotated[int | Literal["all"], BeforeValidator(_countable)] = 0
    """Number of randomly drawn artifacts of models to make again, or ``all``."""
    spot_seed: Natural | None = None
    """Random seed of the draw; null: a new one each time, which is printed."""
    stages: Annotated[list[ModelStage], Field(min_length=1), DISTINCT] = list(get_args(ModelStage))
    """Stages whose artifacts are drawn."""
    only: Names = []
    """Figures, tables or experiments whose artifacts are verified; empty: all."""
    checkpoints: Checkpoints = "all"
    """Checkpoints whose generations are made again; only the ``last`` takes less than half the time."""


class Audit(Strict):
    """The audit of claims."""

    experiments: Names = []
    """Experiments whose claims are tested and whose figures and tables the page shows; empty: all."""


class JobResources(Strict):
    """Resources of one job; SFT and RL spread their batches over several GPUs."""

    cores: Positive
    """Cores. On a CPU, training and sampling use one thread, since sums depend on the number of threads."""
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
    """Accept sections and words; types are checked when overrides are applied to the params."""
    if not isinstance(value, dict | str):
        raise PydanticKnownError("dict_type")
    return value


TrainedSection = Literal["model", "pretrained", "base", "lora", "optimizer", "sft", "rl", "rft"]
Section = Literal["task", TrainedSection, "sampling", "arithmetic", "evaluation"]
Overrides = dict[
    Section, Annotated[Any, BeforeValidator(_section_or_word), WithJsonSchema({"type": ["object", "string"]})]
]
"""Params that replace those of the file, by section; ``task`` is the section of the experiment's own task."""


def _plottable(value):
    items = value if isinstance(value, list) else [value]
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    if not numbers and not isinstance(value, str):
        raise ValueError("input should be a number, a text or a list of numbers")
    return value


PlotValue = Annotated[int | float | str | list[float] | list[int], BeforeValidator(_plottable)]
"""A parameter of a notebook. One validator: pydantic would report a mistake for each type of a union."""


class Experiment(Strict):
    """A set of models: for every seed, variant and SFT mix, one after SFT and one after RL on each distribution."""

    task: str = "chains"
    """A key of ``tasks``."""
    sft_mixes: SomeNames
    """Keys of the task's ``sft_mixes``, and ``none`` for the base model without SFT."""
    rl_problems: Names
    """Keys of the task's ``rl_problems``."""
    seeds: Seeds | None = None
    """Random seeds; null: those of the params."""
    overrides: Overrides = {}
    """Params with other values in this experiment."""
    variants: Annotated[dict[FileName, Overrides], Field(min_length=1)] = {"default": {}}
    """Further overrides by name, each with models of its own."""


class Exhibit(Strict):
    """A figure or a table."""

    experiment: str
    """The experiment that it shows."""
    notebook: FileName | None = None
    """Another figure or table whose notebook draws this one."""
    draw: bool = True
    """Whether `figures` draws it; if not, it is drawn only when asked for by name."""
    claims: str | None = None
    """An experiment whose claims are tested on each seed of this one and on all seeds; ``all``: all claims."""
    caption: Annotated[str, Field(min_length=1)]
    plot: dict[str, PlotValue] = {}
    """Parameters of the notebook."""
