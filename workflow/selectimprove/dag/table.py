"""The table of stages: everything that rules, `verify`, the page and the RO-Crate need to know of each.

A stage is a row here, and a module or package of the same name in ``stages`` with a function named like its rule::

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
    """A row of the table."""

    name: str
    """The name of the module, and of the folder in ``results``."""
    config: type[Strict]
    rule: str
    """The name of Snakemake's rule and of the stage's function."""
    message: str
    """Snakemake's message; ``{wildcards.name}`` is the artifact."""
    title: str
    """The title of the artifacts on the page."""
    files: str
    """The files of an artifact that the page names."""
    needs: Literal["train", "sample", "light"] = "light"
    """The key of ``resources`` in the params."""
    priority: int = 0
    """Jobs of higher priority start first."""
    spreads: bool = False
    """Whether it can run in several processes, one per GPU."""
    local: bool = False
    """Whether it runs on Snakemake's machine: nodes of a cluster often have no network."""

    @property
    def module(self) -> str:
        """The module's name, without the package."""
        return f"stages.{self.name}"

    @property
    def function(self) -> Callable:
        return getattr(importlib.import_module(f"selectimprove.{self.module}"), self.rule)

    @property
    def environment(self) -> str:
        """The name of the file in ``envs`` with the packages that the stage needs."""
        return "train" if self.needs != "light" or self.local else "light"

    def resources(self, resources: Resources) -> JobResources:
        """Return the resources of a job; a training that cannot spread takes at most one GPU."""
        asked = getattr(resources, self.needs)
        alone = self.needs == "train" and not self.spreads
        return asked.model_copy(update={"gpus": min(asked.gpus, 1)}) if alone else asked


# Data come first: they take seconds, and training waits for them. Then come base models and SFT, for which everything
# else waits, and then the longest jobs, so that no long job is left for the end.
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
"""The stages by name, in the order of the data flow."""
OTHER_TARGETS = ("figures", "extras", "audit", "verify", "export_crate", "publish_audit")
"""Rules other than those of stages, figures, tables and experiments."""
