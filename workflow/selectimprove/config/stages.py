"""The typed config of each stage: everything that its artifact is a function of, besides source and inputs."""

from typing import ClassVar, NamedTuple

from pydantic import SerializeAsAny, model_validator

from selectimprove.config import sections, training
from selectimprove.tasks.interface import Demonstrations, Documents, Problems, Settings, load_task, task_names
from selectimprove.types import Natural, Positive, Rate, Strict


class Course(NamedTuple):
    """The length of a training: in epochs, which trainers log, and in the unit that is shown."""

    n_epochs: float
    length: int
    unit: str

    def describe(self, epoch: float) -> str:
        """Describe how far a training is: ``step 84 of 160``."""
        return f"{self.unit} {round(epoch / self.n_epochs * self.length)} of {self.length}"


class OfTask(Strict):
    """A config that names a task and has fields of that task's types."""

    typed: ClassVar[dict[str, str]] = {}
    """The names of the task's types, by field."""
    aspects: ClassVar[tuple[str, ...]] = ("problems",)
    """The aspects of the task that the stage uses; they count in the key."""

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
    """A config of a stage that computes with a model."""

    arithmetic: training.Arithmetic = training.knob("portable")


class ProblemsStage(OfTask):
    """One set of problems."""

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
    """Pretraining on a task's documents; if ``model`` is None, training of another base model continues."""

    aspects = ("documents",)
    typed = {"documents": "Documents"}

    seed: int
    model: training.Model | None
    base: training.BaseTraining
    documents: SerializeAsAny[Documents]
    optimizer: training.Optimizer

    @property
    def course(self) -> Course:
        return Course(1.0, self.base.n_steps, "step")


class PretrainedStage(Computed):
    """A pretrained checkpoint and its use: whether in chats, and which layers get an adapter, if any."""

    pretrained: training.Pretrained
    model: training.Model
    chat: bool
    target_modules: training.TargetModules | None


class SftStage(Computed):
    """SFT of a base model on demonstrations."""

    seed: int
    learning_rate: Rate
    batch_size: Positive
    n_epochs: Positive
    warmup_steps: int
    device_batch_size: Positive | None
    optimizer: training.Optimizer
    lora: training.Lora | None
    system_prompt: str | None

    @property
    def course(self) -> Course:
        return Course(self.n_epochs, self.n_epochs, "epoch")


class RlStage(Computed, OfTask):
    """RL of an SFT model on problems."""

    seed: int
    rl: training.Rl
    optimizer: training.Optimizer
    system_prompt: str | None
    sampling: sections.Sampling

    @property
    def course(self) -> Course:
        rl = self.rl
        return Course(rl.n_steps / (rl.n_prompts // rl.prompts_per_step * rl.num_iterations), rl.n_steps, "step")


class RftStage(Computed, OfTask):
    """Training of an SFT model on its own completions: ``n_prompts`` per round, ``n_samples`` per prompt."""

    seed: int
    method: str
    n_prompts: Positive
    n_samples: Positive
    temperature: Rate
    rft: training.Rft
    optimizer: training.Optimizer
    system_prompt: str | None
    sampling: sections.Sampling


class EvaluationStage(Computed, OfTask):
    """Generations of a model on sets of problems."""

    seed: int
    temperature: Rate
    n_samples: Positive
    checkpoints: sections.Checkpoints
    curve_problems: dict[str, Positive]
    told_problems: Natural
    system_prompt: str | None
    sampling: sections.Sampling


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
    """The settings in which variants of an experiment may differ; figures and tables show them."""

    sft: training.Sft
    rl: training.Rl


class TaskOfExperiment(Strict):
    """The task of an experiment."""

    aspects: ClassVar[tuple[str, ...]] = ("problems", "labels")

    task_name: str


class MeasuresStage(TaskOfExperiment):
    """The runs of an experiment; SFT mixes and RL problems are as in the params."""

    runs: list[Run]
    variants: dict[str, VariantSettings]
    sft_mixes: dict[str, dict]
    rl_problems: dict[str, dict]
    statistics: sections.Statistics
    alarms: sections.Alarms


class VerdictsStage(Strict):
    """All claims, the names of those that are tested, and the seeds and task of each experiment."""

    scale: str
    claims: dict[str, dict]
    run: list[str]
    seeds: dict[str, list[int]]
    tasks: dict[str, TaskOfExperiment]
    statistics: sections.Statistics


class ExhibitsStage(Strict):
    """A figure or table; ``notebook_modules`` are the modules of this package that its notebook imports."""

    name: str
    scale: str
    caption: str
    plot: dict
    notebook: str
    notebook_source: str
    notebook_modules: list[str]
