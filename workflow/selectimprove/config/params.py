"""The typed config of `params.yaml`, as the user writes it.

Values live in ``params.yaml`` and the overlays in ``workflow/scales``; here are only their types. What must hold between
them is checked in `selectimprove.config.checks`. The JSON schema and the parameter reference are generated from these types.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model
from pydantic_core import PydanticKnownError

from selectimprove.config.measuring import Alarms, Statistics, Verify
from selectimprove.config.training import (
    Arithmetic,
    BaseTraining,
    Lora,
    Model,
    Optimizer,
    Pretrained,
    ReportTo,
    Rft,
    Rl,
    Sft,
)
from selectimprove.tasks.interface import task_types
from selectimprove.types import NUMBER, Names, Natural, PlotValue, Positive, Rate, Seeds, SomeNames, Strict

Checkpoints = Literal["all", "last"]
NO_SFT = "none"
"""In place of a mix: the base model itself."""
ALL_CLAIMS = "all"
"""In place of an experiment: the claims of every one."""


class Continued(Strict):
    """Pretraining of another task's base model, continued on the documents of this one."""

    after: str
    """The other task; it takes the settings that both tasks have from this one."""
    n_steps: Positive
    """Optimiser steps."""
    learning_rate: Rate
    warmup_steps: Natural


class TaskParams(Strict):
    """What every task has in ``params.yaml``, besides its own settings and what has its own types."""

    extends: str | None = None
    """Another task, whose settings hold where this one has none of its own."""
    continued: Continued | None = None
    """How the base model comes about; null: from scratch."""


def _section_of(name: str, types) -> type[TaskParams]:
    """Make the type of a task's section: its settings, and for each of its types where values of it are."""
    mix = create_model(
        f"{name}_mix", __base__=types.Demonstrations, __doc__="An SFT mix.", problems=(types.Problems | None, None)
    )
    many = dict[str, types.Problems]
    return create_model(
        f"{name}_params",
        __base__=(types.Settings, TaskParams),
        __doc__=types.Settings.__doc__,
        documents=(types.Documents, Field(description="What the base model reads, where it is trained from scratch.")),
        sft_problems=(types.Problems, Field(description="The problems of SFT, unless a mix has its own.")),
        sft_mixes=(dict[str, mix], Field(description="How SFT data are answered, by the name of the mix.")),
        rl_problems=(many, Field(description="Distributions of RL problems, by name.")),
        test_problems=(Annotated[many, Field(min_length=1)], Field(description="Sets of test problems, by name.")),
    )


Tasks = create_model(
    "Tasks", __base__=Strict, **{name: (_section_of(name, types), ...) for name, types in task_types().items()}
)


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
    """What generates completions, in RL and in evaluation."""

    engine: Literal["transformers", "vllm"]
    vllm: VllmSettings | None = None
    """Settings of vLLM; they do not count where it is not used."""


class Evaluation(Strict):
    """Generations on held-out problems."""

    temperature: Rate
    n_samples: Positive
    """Generations per problem."""
    n_problems: Positive
    """Problems per test set."""
    checkpoints: Checkpoints
    """``all`` that RL kept, or the ``last`` alone."""
    curve_problems: Positive
    """Problems per test set for checkpoints before the last, which only curves show."""
    told_problems: Natural
    """Problems per test set that SFT models and the ends of RL answer greedily, and with each strategy prescribed; 0: none."""


class JobResources(Strict):
    """What one job asks for; SFT and RL spread their batches over several GPUs."""

    cores: Positive
    """Cores. On a CPU, training and sampling use one thread whatever is asked for: the number of threads would decide their sums."""
    gpus: Natural
    memory_gib: Rate
    minutes: Positive

    @property
    def mem_mb(self) -> int:
        return round(self.memory_gib * 1024)


class Resources(Strict):
    """What jobs ask Snakemake, and through it a cluster's scheduler, for."""

    train: JobResources
    """Base models, SFT and RL."""
    sample: JobResources
    """Evaluation."""
    light: JobResources
    """All that needs no model."""
    gpu_memory_gib: Rate | None = None
    """Memory of each GPU; training that cannot fit is refused before anything starts."""


def _section_or_word(value):
    """Refuse what no param is; which of them takes which is checked where they are laid over the others."""
    if not isinstance(value, dict | str):
        raise PydanticKnownError("dict_type")
    return value


Section = Literal[
    "task",
    "model",
    "pretrained",
    "base",
    "lora",
    "optimizer",
    "sft",
    "rl",
    "rft",
    "sampling",
    "arithmetic",
    "evaluation",
]
Overrides = dict[
    Section, Annotated[Any, BeforeValidator(_section_or_word), WithJsonSchema({"type": ["object", "string"]})]
]
"""Params laid over those of the file, by section; checked as those are. ``task`` is the section of the experiment's own task."""


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
    variants: Annotated[dict[str, Overrides], Field(min_length=1)] = {"default": {}}
    """Overrides by name, each with models of its own."""


class Exhibit(Strict):
    """A figure or a table."""

    experiment: str
    """The experiment it shows."""
    notebook: str | None = None
    """The figure or table whose notebook draws this one too."""
    draw: bool = True
    """Whether `figures` draws it; one that it leaves out is drawn when it is asked for by its name."""
    claims: str | None = None
    """An experiment whose claims are tested on each seed of this one, and on all together, for the notebook to show; ``all``: every claim, each on the
    models of its own experiment."""
    caption: Annotated[str, Field(min_length=1)]
    plot: dict[str, PlotValue] = {}
    """What the notebook takes as parameters."""


class Params(Strict):
    """All of ``params.yaml``, after the overlay of the scale."""

    scale: str
    """A file of ``workflow/scales``, or ``laptop``, whose values are those of the file."""
    seeds: Seeds
    """Random seeds; each is a set of models of its own."""
    tasks: Tasks
    """The tasks, each with its settings, problems and mixes."""
    model: Model
    pretrained: Pretrained | None = None
    system_prompt: Annotated[str, Field(min_length=1)] | None = None
    """Of a chat; null: a model is asked with the problem's text alone."""
    base: BaseTraining
    lora: Lora | None = None
    """An adapter in place of training all weights."""
    optimizer: Optimizer
    sft: Sft
    rl: Rl
    rft: Rft
    sampling: Sampling
    arithmetic: Arithmetic = "portable"
    """How CPUs multiply matrices: ``portable``, with the same bits on every x86 processor; ``fast``, with what this one does best."""
    evaluation: Evaluation
    statistics: Statistics
    alarms: Alarms
    resources: Resources
    report_to: ReportTo = "none"
    """Where base models, SFT and RL log to besides, live: a library that is installed beside these. No result depends on it."""
    verify: Verify = Verify()
    experiments: dict[str, Experiment]
    figures: dict[str, Exhibit]
    tables: dict[str, Exhibit]
