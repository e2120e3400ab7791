"""The typed config of each stage: everything that its artifact is a function of, besides source and inputs."""

from typing import ClassVar, NamedTuple

from pydantic import SerializeAsAny, model_serializer, model_validator

from selectimprove.config.sections import Alarms, Checkpoints, Sampling, Statistics
from selectimprove.config.training import (
    Arithmetic,
    BaseTraining,
    Lora,
    Model,
    Optimizer,
    Pretrained,
    Rft,
    Rl,
    Sft,
    TargetModules,
)
from selectimprove.tasks.interface import Demonstrations, Documents, Problems, Settings, load_task, task_names
from selectimprove.types import Natural, Positive, Rate, Strict


class Course(NamedTuple):
    """The length of a training: in epochs, as trainers log it, and in steps or epochs for people."""

    n_epochs: float
    length: int
    unit: str

    def describe(self, epoch: float) -> str:
        """Say how far a training is: ``step 84 of 160``."""
        return f"{self.unit} {round(epoch / self.n_epochs * self.length)} of {self.length}"


class Rollouts(NamedTuple):
    """The number of sampling steps of a training, the completions per step, and whether rewards are outcomes."""

    n_steps: int
    per_step: int
    are_outcomes: bool


class OfTask(Strict):
    """A config that names a task and has fields of that task's types."""

    typed: ClassVar[dict[str, str]] = {}
    """By field, the name of the task's type."""
    aspects: ClassVar[tuple[str, ...]] = ()
    """The aspects of the task that the stage loads; they count in the key."""

    task_name: str
    task: SerializeAsAny[Settings]

    @model_validator(mode="before")
    @classmethod
    def _of_its_task(cls, values: dict) -> dict:
        if not isinstance(values, dict) or "task_name" not in values:
            return values
        if values["task_name"] not in task_names():
            raise ValueError(f"{values['task_name']!r} is no task; use one of {', '.join(task_names())}")
        task, kinds = load_task(values["task_name"]), {"task": "Settings", **cls.typed}
        return values | {
            name: getattr(task, kind).model_validate(values[name]) for name, kind in kinds.items() if name in values
        }


class Computed(Strict):
    """A config of a stage that computes with a model. Keys leave portable arithmetic out, since it is the rule."""

    arithmetic: Arithmetic = "portable"

    @model_serializer(mode="wrap")
    def _unless_portable(self, write):
        written = write(self)
        if self.arithmetic == "portable":
            del written["arithmetic"]
        return written


class ProblemsStage(OfTask):
    """One set of problems."""

    aspects = ("problems",)
    typed = {"problems": "Problems"}

    seed: int
    split: str
    n_problems: Positive
    problems: SerializeAsAny[Problems]


class DemonstrationsStage(OfTask):
    """Responses to one set of problems."""

    aspects = ("problems", "demonstrations")
    typed = {"demonstrations": "Demonstrations"}

    seed: int
    demonstrations: SerializeAsAny[Demonstrations]


class BaseStage(Computed, OfTask):
    """Pretraining on a task's documents; without ``model``, another base model is trained further."""

    aspects = ("documents",)
    typed = {"documents": "Documents"}

    seed: int
    model: Model | None
    base: BaseTraining
    documents: SerializeAsAny[Documents]
    optimizer: Optimizer

    @property
    def course(self) -> Course:
        return Course(1.0, self.base.n_steps, "step")


class PretrainedStage(Computed):
    """A pretrained checkpoint, and how it is used: in chats or not, with adapters on some layers or None."""

    pretrained: Pretrained
    model: Model
    chat: bool
    target_modules: TargetModules | None


class SftStage(Computed):
    """SFT of a base model on demonstrations."""

    seed: int
    learning_rate: Rate
    batch_size: Positive
    n_epochs: Positive
    warmup_steps: int
    device_batch_size: Positive | None
    optimizer: Optimizer
    lora: Lora | None
    system_prompt: str | None

    @property
    def course(self) -> Course:
        return Course(self.n_epochs, self.n_epochs, "epoch")


class RlStage(Computed, OfTask):
    """RL of an SFT model on problems."""

    aspects = ("problems",)

    seed: int
    rl: Rl
    optimizer: Optimizer
    system_prompt: str | None
    sampling: Sampling

    @property
    def course(self) -> Course:
        rl = self.rl
        return Course(rl.n_steps / (rl.n_prompts // rl.prompts_per_step * rl.num_iterations), rl.n_steps, "step")

    @property
    def rollouts(self) -> Rollouts:
        rl = self.rl
        return Rollouts(rl.n_batches, rl.prompts_per_step * rl.group_size, rl.reward == "outcome")


class RftStage(Computed, OfTask):
    """Training of an SFT model on its own completions; ``n_prompts`` per round, ``n_samples`` completions of each."""

    aspects = ("problems",)

    seed: int
    method: str
    n_prompts: Positive
    n_samples: Positive
    temperature: Rate
    rft: Rft
    optimizer: Optimizer
    system_prompt: str | None
    sampling: Sampling

    @property
    def rollouts(self) -> Rollouts:
        per_prompt = 1 if self.method == "self_distillation" else self.n_samples
        return Rollouts(self.rft.n_rounds, self.n_prompts * per_prompt, are_outcomes=True)


class EvaluationStage(Computed, OfTask):
    """Generations of a model on sets of problems."""

    aspects = ("problems",)

    seed: int
    temperature: Rate
    n_samples: Positive
    checkpoints: Checkpoints
    curve_problems: Positive
    told_problems: Natural
    system_prompt: str | None
    sampling: Sampling


class LabelsStage(OfTask):
    """Labels of all generations and rollouts of a model."""

    aspects = ("problems", "labels")


class Run(Strict):
    """One model of an experiment; ``training`` is ``sft`` or a key of the task's ``rl_problems``."""

    variant: str
    sft: str
    training: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}/{self.sft}/{self.training}/{self.seed}"


class VariantSettings(OfTask):
    """The settings that variants of an experiment may differ in, for figures and tables to tell them apart."""

    sft: Sft
    rl: Rl


class MeasuresStage(Strict):
    """The runs of an experiment; mixes and distributions as the params have them."""

    aspects: ClassVar[tuple[str, ...]] = ("problems", "labels")

    task_name: str
    runs: list[Run]
    variants: dict[str, VariantSettings]
    sft_mixes: dict[str, dict]
    rl_problems: dict[str, dict]
    statistics: Statistics
    alarms: Alarms


class TaskOfExperiment(Strict):
    """The task of an experiment."""

    aspects: ClassVar[tuple[str, ...]] = ("problems", "labels")

    task_name: str


class VerdictsStage(Strict):
    """All claims, the names of those that are run, and for each experiment its seeds and its task."""

    scale: str
    claims: dict[str, dict]
    run: list[str]
    seeds: dict[str, list[int]]
    tasks: dict[str, TaskOfExperiment]
    statistics: Statistics


class ExhibitsStage(Strict):
    """A figure or table; ``notebook_modules`` are the modules of this package that the notebook imports."""

    name: str
    scale: str
    caption: str
    plot: dict
    notebook: str
    notebook_source: str
    notebook_modules: list[str]
