"""The types of `params.yaml`, and what must hold between its values.

The JSON schema and the parameter reference are made from these types. Whether tasks and notebooks can do what the
values ask is checked in `selectimprove.config.checks`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model
from pydantic_core import PydanticKnownError

from selectimprove.batches import split_batch
from selectimprove.config.messages import unknown_name
from selectimprove.config.training import (
    ALL_LINEAR,
    QWEN2_LAYERS,
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
from selectimprove.types import (
    DISTINCT,
    LARGEST_SEED,
    NUMBER,
    Names,
    Natural,
    PlotValue,
    Positive,
    Rate,
    Seeds,
    Share,
    SomeNames,
    Strict,
)

Checkpoints = Literal["all", "last"]
NO_SFT = "none"
"""In place of a mix: the base model itself."""
ALL_CLAIMS = "all"
"""In place of an experiment: the claims of every one."""
ROLES = ("policy", "base", "evaluation", "rl", "rollouts")
"""Inputs of a stage beside the test problems, which have their own names as roles."""
FEWEST_TOLD = 8
"""So many problems drawn at random nearly always hold both of two types."""


def _names_files(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
        what = "use at most 60 letters, digits, '_', '-' and '.', a letter or digit first"
        raise ValueError(f"'{name}' names files; {what}")
    return name


FileName = Annotated[str, AfterValidator(_names_files)]
"""A name that becomes that of a file or folder."""


class Continued(Strict):
    """Pretraining of another task's base model, continued on the documents of this one."""

    after: str
    """The other task; settings that both tasks have are taken from this one."""
    n_steps: Positive
    """Optimiser steps."""
    learning_rate: Rate
    warmup_steps: Natural


class TaskParams(Strict):
    """Fields that every task has in ``params.yaml`` besides its own settings."""

    extends: str | None = None
    """Another task, whose settings hold where this one has none."""
    continued: Continued | None = None
    """How the base model comes about; null: from scratch."""

    def refuse(self) -> Iterator[str]:
        if NO_SFT in self.sft_mixes:
            yield f"sft_mixes.{NO_SFT}: '{NO_SFT}' names the base model without SFT; choose another name"
        if "sft" in self.rl_problems:
            yield "rl_problems.sft: 'sft' names the models before RL; choose another name"
        for name in self.test_problems.keys() & ROLES:
            yield f"test_problems.{name}: '{name}' names something else; choose another name than {', '.join(ROLES)}"


def _section_of(name: str, types) -> type[TaskParams]:
    """Make the type of a task's section: its settings, and for each of its types where values of it are."""
    mix = create_model(
        f"{name}_mix", __base__=types.Demonstrations, __doc__="An SFT mix.", problems=(types.Problems | None, None)
    )
    many = dict[FileName, types.Problems]
    return create_model(
        f"{name}_params",
        __base__=(types.Settings, TaskParams),
        __doc__=types.Settings.__doc__,
        documents=(types.Documents, Field(description="What the base model reads, where it is trained from scratch.")),
        sft_problems=(types.Problems, Field(description="The problems of SFT, unless a mix has its own.")),
        sft_mixes=(dict[FileName, mix], Field(description="How SFT data are answered, by the name of the mix.")),
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
    curve_problems: Positive
    """Problems per test set for checkpoints before the last, which only curves show."""
    told_problems: Natural
    """Problems per test set that SFT and final RL models answer greedily, and told each strategy; 0: none."""

    def refuse(self) -> Iterator[str]:
        if 0 < self.told_problems < FEWEST_TOLD:
            what = f"{self.told_problems} may hold no problem of one type; use 0 or at least {FEWEST_TOLD}"
            yield f"told_problems: {what}"


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
    spot_seed: Annotated[int, Field(ge=0, le=LARGEST_SEED, strict=True)] | None = None
    """Random seed of the draw; null: another each time, printed."""
    stages: Annotated[list[Literal["base", "sft", "rl", "rft", "evaluation"]], Field(min_length=1), DISTINCT] = [
        "base",
        "sft",
        "rl",
        "rft",
        "evaluation",
    ]
    """Stages whose artifacts are drawn."""
    only: Names = []
    """Figures, tables or experiments whose artifacts are verified; empty: all."""
    checkpoints: Literal["all", "last"] = "all"
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
"""Params laid over those of the file, by section; ``task`` is the section of the experiment's own task."""


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
    """How CPUs multiply matrices: ``portable``, the same bits on every x86 processor, or ``fast``."""
    evaluation: Evaluation
    statistics: Statistics
    alarms: Alarms
    resources: Resources
    report_to: ReportTo = "none"
    """A library that base models, SFT and RL also log to, live. No result depends on it."""
    verify: Verify = Verify()
    experiments: dict[FileName, Experiment]
    figures: dict[FileName, Exhibit]
    tables: dict[FileName, Exhibit]

    def refuse(self) -> Iterator[str]:
        unknown = [line for entry in self._names() for line in unknown_name(*entry)]
        yield from unknown or (*self._names_taken(), *self._model_mistakes(), *self._training_mistakes())

    def _names(self) -> Iterator[tuple[str, str, Iterable[str]]]:
        """List the names that must be known: the key, the name, and the known ones."""
        tasks, experiments = type(self.tasks).model_fields, self.experiments
        for name, experiment in experiments.items():
            key, section = f"experiments.{name}", getattr(self.tasks, experiment.task, None)
            yield f"{key}.task", experiment.task, tasks
            for mix in experiment.sft_mixes if section else ():
                yield f"{key}.sft_mixes", mix, (*section.sft_mixes, NO_SFT)
            for problems in experiment.rl_problems if section else ():
                yield f"{key}.rl_problems", problems, section.rl_problems
        for kind in ("figures", "tables"):
            for name, exhibit in getattr(self, kind).items():
                yield f"{kind}.{name}.experiment", exhibit.experiment, experiments
                yield f"{kind}.{name}.claims", exhibit.claims or ALL_CLAIMS, (*experiments, ALL_CLAIMS)
        for name in tasks:
            section, others = getattr(self.tasks, name), [task for task in tasks if task != name]
            if section.extends is not None:
                yield f"tasks.{name}.extends", section.extends, others
            if section.continued:
                yield f"tasks.{name}.continued.after", section.continued.after, tasks
        for name in self.verify.only:
            yield "verify.only", name, (*experiments, *self.figures, *self.tables)
        for module in self.lora.target_modules if self.lora and self._builds_qwen2 else ():
            if self.lora.target_modules != ALL_LINEAR:
                yield "lora.target_modules", module, QWEN2_LAYERS

    def _names_taken(self) -> Iterator[str]:
        for name in self.tables.keys() & self.figures:
            yield f"tables.{name}: there is a figure of this name too; choose another name"
        for name in type(self.tasks).model_fields:
            passed = [name]
            while continued := getattr(self.tasks, passed[-1]).continued:
                if continued.after in passed:
                    what = f"'{continued.after}' is trained after '{passed[-1]}' itself; name a task that is not"
                    yield f"tasks.{passed[-1]}.continued.after: {what}"
                    break
                passed.append(continued.after)

    @property
    def _builds_qwen2(self) -> bool:
        return not self.pretrained or self.pretrained.weights == "random"

    def _model_mistakes(self) -> Iterator[str]:
        model, pretrained = self.model, self.pretrained
        if self.system_prompt and not pretrained:
            yield "system_prompt: a model that is trained from scratch has no chat template; use null"
        if pretrained and (model.n_kv_heads is None or model.vocab_size is None):
            yield "model: a pretrained model needs n_kv_heads and vocab_size too, as in its config.json"
        if self._builds_qwen2:
            yield from (f"model.{line}" for line in model.refuse_qwen2())

    def _training_mistakes(self) -> Iterator[str]:
        rl, gpus = self.rl, max(self.resources.train.gpus, 1)
        prompts = rl.n_batches * rl.prompts_per_step
        if rl.is_control and prompts < self.rft.n_rounds:
            yield f"rft.n_rounds: {self.rft.n_rounds} rounds are more than the {prompts} prompts that RL draws"
        if rl.loss_type == "vespo" and self.sampling.engine == "vllm":
            yield "rl.loss_type: vespo does not run with the engine vllm; use another, or the engine transformers"
        for section, size, device_size, n_devices in (
            ("sft", self.sft.batch_size, self.sft.device_batch_size, gpus),
            ("rl", rl.prompts_per_step * rl.group_size, rl.device_batch_size, gpus),
            ("rft", self.rft.batch_size, self.rft.device_batch_size, 1),
        ):
            if size % n_devices:
                yield f"resources.train.gpus: {gpus} do not divide the {size} sequences of a step of {section}"
            elif split_batch(size, n_devices, device_size) is None:
                share = size // n_devices
                what = f"{device_size} does not divide the {share} sequences that a step has for each device"
                yield f"{section}.device_batch_size: {what}"
        for name, experiment in self.experiments.items():
            if self.lora and NO_SFT in experiment.sft_mixes:
                yield f"experiments.{name}.sft_mixes: '{NO_SFT}' needs `lora: null`: an adapter is made by SFT"
