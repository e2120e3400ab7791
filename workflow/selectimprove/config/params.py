"""The types of `params.yaml`, from which its JSON schema and reference are made, and checks of related values."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field, create_model

from selectimprove.batches import split_batch
from selectimprove.config import sections, training
from selectimprove.config.messages import unknown_name
from selectimprove.config.sections import Exhibit, Experiment, FileName
from selectimprove.tasks.interface import Settings, load_task, task_names
from selectimprove.types import Natural, Positive, Rate, Seeds, Strict

NO_SFT = "none"
"""In place of the name of an SFT mix: the base model itself."""
ALL_CLAIMS = "all"
"""In place of the name of an experiment: the claims of all experiments."""
ROLES = ("policy", "base", "evaluation", "rl", "rollouts")
"""Roles of a stage's inputs; a set of test problems has its own name as its role, and must not take one of these."""


class Continued(Strict):
    """Continued pretraining: another task's base model is trained further on the documents of this task."""

    after: str
    """The other task; where both tasks have a setting, this one's holds."""
    n_steps: Positive
    """Optimiser steps."""
    learning_rate: Rate
    warmup_steps: Natural


class TaskParams(Strict):
    """Fields that every task has in ``params.yaml`` besides its own settings."""

    extends: str | None = None
    """Another task; settings that this one lacks are taken from it."""
    continued: Continued | None = None
    """Pretraining that continues from another task's base model; null: from scratch."""

    def refuse(self) -> Iterator[str]:
        if NO_SFT in self.sft_mixes:
            yield f"sft_mixes.{NO_SFT}: '{NO_SFT}' names the base model without SFT; choose another name"
        if "sft" in self.rl_problems:
            yield "rl_problems.sft: 'sft' names the models before RL; choose another name"
        for name in self.test_problems.keys() & ROLES:
            yield f"test_problems.{name}: '{name}' names something else; choose another name than {', '.join(ROLES)}"


def _section_of(name: str, types) -> type[TaskParams]:
    """Make the type of a task's section: its settings, documents, SFT mixes and problems."""
    mix = create_model(
        f"{name}_mix", __base__=types.Demonstrations, __doc__="An SFT mix.", problems=(types.Problems | None, None)
    )
    many = dict[FileName, types.Problems]
    return create_model(
        f"{name}_params",
        __base__=(types.Settings, TaskParams),
        __doc__=types.Settings.__doc__,
        documents=(types.Documents, Field(description="Documents on which the base model is pretrained.")),
        sft_problems=(types.Problems, Field(description="The problems of SFT, unless a mix has its own.")),
        sft_mixes=(dict[FileName, mix], Field(description="How SFT problems are answered, by the name of the mix.")),
        rl_problems=(many, Field(description="Distributions of RL problems, by name.")),
        test_problems=(Annotated[many, Field(min_length=1)], Field(description="Sets of test problems, by name.")),
    )


Tasks = create_model(
    "Tasks", __base__=Strict, **{name: (_section_of(name, load_task(name)), ...) for name in task_names()}
)


class Params(Strict):
    """All of ``params.yaml``, after the overlay of the scale."""

    scale: str
    """A file of ``workflow/scales``, or ``laptop`` for the values of ``params.yaml`` itself."""
    suffix: FileName | None = None
    """Ends the names of the scale's data and models before their keys; null: nothing, as where scales share models."""
    seeds: Seeds
    """Random seeds; each gives models of its own."""
    tasks: Tasks
    """The tasks, each with its settings, problems and mixes."""
    model: training.Model
    pretrained: training.Pretrained | None = None
    system_prompt: Annotated[str, Field(min_length=1)] | None = None
    """System prompt of a chat; null: no chat, the prompt is the text of the problem."""
    base: training.BaseTraining
    lora: training.Lora | None = None
    """An adapter, trained in place of all weights; null: all weights."""
    optimizer: training.Optimizer
    sft: training.Sft
    rl: training.Rl
    rft: training.Rft
    sampling: sections.Sampling
    arithmetic: training.Arithmetic = "portable"
    """How CPUs multiply matrices: ``portable``, the same bits on every x86 processor, or ``fast``."""
    evaluation: sections.Evaluation
    statistics: sections.Statistics
    alarms: sections.Alarms
    resources: sections.Resources
    report_to: training.ReportTo = "none"
    """A library to which trainings also log, live. No result depends on it."""
    audit: sections.Audit = sections.Audit()
    verify: sections.Verify = sections.Verify()
    experiments: dict[FileName, Experiment]
    figures: dict[FileName, Exhibit]
    tables: dict[FileName, Exhibit]

    def refuse(self) -> Iterator[str]:
        unknown = [line for entry in self._names() for line in unknown_name(*entry)]
        yield from unknown or (*self._names_taken(), *self._model_mistakes(), *self._training_mistakes())

    def _names(self) -> Iterator[tuple[str, str, Iterable[str]]]:
        """List names that must be known: the key, the name, and all known names."""
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
        for name in self.evaluation.curve_problems:
            known = {problem_set for task in tasks for problem_set in getattr(self.tasks, task).test_problems}
            yield "evaluation.curve_problems", name, sorted(known)
        for name in self.audit.experiments:
            yield "audit.experiments", name, experiments
        for name in self.verify.only:
            yield "verify.only", name, (*experiments, *self.figures, *self.tables)
        for module in self.lora.target_modules if self.lora and self._builds_qwen2 else ():
            if self.lora.target_modules != training.ALL_LINEAR:
                yield "lora.target_modules", module, training.QWEN2_LAYERS

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


@dataclass(frozen=True, eq=False)
class Case:
    """The params of one variant of an experiment, and its task."""

    params: Params
    task: str

    @property
    def section(self) -> TaskParams:
        return getattr(self.params.tasks, self.task)

    @cached_property
    def settings(self) -> Settings:
        return self.settings_of(self.task)

    def settings_of(self, other: str) -> Settings:
        """Return the settings of another task; where both tasks have a setting, this one's holds."""
        kind = load_task(other).Settings
        own = self.section.model_dump()
        values = getattr(self.params.tasks, other).model_dump()
        return kind.model_validate({name: own.get(name, values[name]) for name in kind.model_fields})


def resolve_case(params: Params, experiment: str, variant: str | None = None) -> Case:
    """Apply an experiment's overrides, then a variant's, to the params; a ValidationError if the result is invalid."""
    entry = params.experiments[experiment]
    overrides = merge(entry.overrides, entry.variants[variant] if variant else {})
    if not overrides:
        return Case(params, entry.task)
    values = merge(params.model_dump(), {key: value for key, value in overrides.items() if key != "task"})
    values = merge(values, {"tasks": {entry.task: overrides.get("task", {})}})
    return Case(Params.model_validate(values), entry.task)


def resolve_variants(params: Params, experiment: str) -> tuple[dict[str, Case], dict[str, str]]:
    """Apply the overrides of all variants; return the cases, and the variants that equal one of them in all models.

    Of equal variants, the plainest is a case. They may differ in the checkpoints that are evaluated.
    """
    variants = params.experiments[experiment].variants
    cases = {variant: resolve_case(params, experiment, variant) for variant in variants}
    models = {
        variant: case.params.model_dump(exclude={"evaluation": {"checkpoints"}}) for variant, case in cases.items()
    }
    plainest = sorted(variants, key=lambda variant: (len(variants[variant]), variant != "default"))
    first = {variant: next(other for other in plainest if models[other] == models[variant]) for variant in variants}
    equal = {variant: other for variant, other in first.items() if variant != other}
    return {variant: case for variant, case in cases.items() if variant not in equal}, equal


def merge(below: dict, above: dict) -> dict:
    """Merge nested mappings; the values above win, and lists are replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged
