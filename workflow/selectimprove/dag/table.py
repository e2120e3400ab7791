"""The table of stages: all that rules, verification, the page, ``dvc.yaml`` and the RO-Crate need to know of each.

A stage is a row here and a module or folder of its name in ``stages``, with a function that has the name of its rule::

    problems ──> demonstrations ──> sft ──> rl ──> evaluation ──> labels ──> measures ──> exhibits
    base or pretrained ───────────┘                                 └──────> verdicts ──────┘
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from selectimprove.config import stages as configs
from selectimprove.config.sections import JobResources, Resources
from selectimprove.types import Strict


@dataclass(frozen=True)
class Stage:
    """A row."""

    name: str
    """Of the module, and of the folder in ``results``."""
    config: type[Strict]
    rule: str
    """Of Snakemake; the stage's function has the same name."""
    message: str
    """Of Snakemake; ``{wildcards.name}`` is the artifact."""
    title: str
    """Of the artifacts, on the page."""
    files: str
    """In an artifact, on the page."""
    needs: Literal["train", "sample", "light"] = "light"
    """The key of ``resources`` in the params."""
    priority: int = 0
    """Jobs of a higher priority go first."""
    spreads: bool = False
    """Whether it can run in several processes, one per GPU."""
    local: bool = False
    """Whether it runs where Snakemake does: nodes of a cluster often have no network."""

    @property
    def module(self) -> str:
        """The module, without the package."""
        return f"stages.{self.name}"

    @property
    def function(self) -> Callable:
        return getattr(importlib.import_module(f"selectimprove.{self.module}"), self.rule)

    @property
    def environment(self) -> str:
        """Name the file of ``envs`` with the packages that the stage imports."""
        return "train" if self.needs != "light" or self.local else "light"

    def resources(self, resources: Resources) -> JobResources:
        """Return what a job asks for; a training that does not spread takes one GPU at most."""
        asked = getattr(resources, self.needs)
        alone = self.needs == "train" and not self.spreads
        return asked.model_copy(update={"gpus": min(asked.gpus, 1)}) if alone else asked


# Data take seconds, and training waits for them. All else waits for base models and SFT; then the longest jobs go
# first, so that both ends of the graph finish together.
_ROWS = (
    Stage("problems", configs.ProblemsStage, "generate_problems", "Generating problems {wildcards.name}",
          "Problems", "problems.parquet", priority=40),
    Stage("demonstrations", configs.DemonstrationsStage, "write_demonstrations",
          "Writing demonstrations {wildcards.name}", "Demonstrations", "demonstrations.parquet", priority=40),
    Stage("base", configs.BaseStage, "pretrain_base", "Pretraining the base model {wildcards.name}",
          "Base models", "model/model.safetensors", needs="train", priority=30),
    Stage("pretrained", configs.PretrainedStage, "fetch_model", "Fetching the pretrained model {wildcards.name}",
          "Pretrained model", "model/*.safetensors", priority=40, local=True),
    Stage("sft", configs.SftStage, "train_sft", "Fine-tuning {wildcards.name}",
          "SFT models", "model/*.safetensors", needs="train", priority=20, spreads=True),
    Stage("rl", configs.RlStage, "train_grpo", "Training {wildcards.name} by RL",
          "RL checkpoints", "checkpoints/step-*/*.safetensors, rollouts.parquet",
          needs="train", priority=10, spreads=True),
    Stage("rft", configs.RftStage, "train_rft", "Training {wildcards.name} on its own completions",
          "Checkpoints of controls", "checkpoints/step-*/*.safetensors, rollouts.parquet",
          needs="train", priority=10),
    Stage("evaluation", configs.EvaluationStage, "evaluate_model", "Evaluating {wildcards.name}",
          "Generations", "generations.parquet", needs="sample"),
    Stage("labels", configs.LabelsStage, "label_strategies", "Labeling {wildcards.name}",
          "Labels: strategy, steps, reward", "generations.parquet, rollouts.parquet"),
    Stage("measures", configs.MeasuresStage, "measure_experiment", "Measuring the experiment {wildcards.name}",
          "Measures", "pass_rates.parquet …"),
    Stage("exhibits", configs.ExhibitsStage, "draw_exhibit", "Drawing {wildcards.name}",
          "Figures and tables", "notebook.ipynb"),
    Stage("verdicts", configs.VerdictsStage, "audit_claims", "Testing the claims of the paper",
          "Verdicts", "claims.csv, tests.csv"),
)  # fmt: skip
STAGES = {stage.name: stage for stage in _ROWS}
"""By name, in the order in which data flow."""
OTHER_TARGETS = ("figures", "extras", "audit", "verify", "plan", "export_crate", "publish_audit")
"""Rules besides those of stages, figures, tables and experiments."""
