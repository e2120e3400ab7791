"""The table of stages: all that rules, verification, the page, ``dvc.yaml`` and the RO-Crate need to know of each.

A stage is a row here and a module, or a folder of modules, of its name in ``stages``, with a function that is named as its rule::

    problems ──> demonstrations ──> sft ──> rl ──> evaluation ──> labels ──> measures ──> exhibits
    base or pretrained ───────────┘                    └─────────────────────────────────> verdicts
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from selectimprove.config import stages as configs
from selectimprove.config.params import JobResources, Resources
from selectimprove.types import Strict


@dataclass(frozen=True)
class Stage:
    """A row.

    Parameters
    ----------
    name : str
        Of the module and of the folder in ``results``.
    config : type
    rule : str
        Also the name of the function.
    message : str
        What Snakemake says; ``{wildcards.name}`` is the artifact.
    title, files : str
        What people call the artifacts, and the files in them, for the page.
    needs : {'train', 'sample', 'light'}
        The key of ``resources`` in the params.
    priority : int
        Jobs of a higher one go first.
    spreads : bool
        Whether it can run in several processes, one a GPU.
    local : bool
        Whether it runs where Snakemake does: nodes of a cluster often have no network.
    checks : tuple of str
        How `selectimprove.reports.verify` checks an artifact besides its record; ``remade`` makes it again from its inputs.
    """

    name: str
    config: type[Strict]
    rule: str
    message: str
    title: str
    files: str
    needs: Literal["train", "sample", "light"] = "light"
    priority: int = 0
    spreads: bool = False
    local: bool = False
    checks: tuple[str, ...] = ("remade",)

    @property
    def module(self) -> str:
        """The module, without the package."""
        return f"stages.{self.name}"

    @property
    def function(self) -> Callable:
        return getattr(importlib.import_module(f"selectimprove.{self.module}"), self.rule)

    @property
    def environment(self) -> str:
        """Name the file of ``envs`` with what the stage imports."""
        trains = self.needs != "light" or self.local
        return "train" if trains else "light"

    def resources(self, resources: Resources) -> JobResources:
        """Return what a job asks for; of several GPUs those that train take one if they do not spread, as sums over two would be of other data."""
        asked = getattr(resources, self.needs)
        alone = self.needs == "train" and not self.spreads
        return asked.model_copy(update={"gpus": min(asked.gpus, 1)}) if alone else asked


# Data take seconds, and training waits for them. All else waits for base models and SFT; then the longest jobs go first, so that both
# ends of the graph finish together.
_ROWS = (
    Stage("problems", configs.ProblemsStage, "generate_problems", "Generating problems {wildcards.name}",
          "Problems", "problems.parquet", priority=40),
    Stage("demonstrations", configs.DemonstrationsStage, "write_demonstrations", "Writing demonstrations {wildcards.name}",
          "Demonstrations", "demonstrations.parquet", priority=40),
    Stage("base", configs.BaseStage, "pretrain_base", "Pretraining the base model {wildcards.name}",
          "Base models", "model/model.safetensors", needs="train", priority=30, checks=()),
    Stage("pretrained", configs.PretrainedStage, "fetch_model", "Fetching the pretrained model {wildcards.name}",
          "Pretrained model", "model/*.safetensors", priority=40, local=True, checks=()),
    Stage("sft", configs.SftStage, "train_sft", "Fine-tuning {wildcards.name}",
          "SFT models", "model/*.safetensors", needs="train", priority=20, spreads=True, checks=()),
    Stage("rl", configs.RlStage, "train_grpo", "Training {wildcards.name} with GRPO",
          "RL checkpoints", "checkpoints/step-*/*.safetensors, rollouts.parquet", needs="train", priority=10, spreads=True,
          checks=("rollouts",)),
    Stage("rft", configs.RftStage, "train_rft", "Training {wildcards.name} on its own completions",
          "Checkpoints of controls", "checkpoints/step-*/*.safetensors, rollouts.parquet", needs="train", priority=10, checks=("rollouts",)),
    Stage("evaluation", configs.EvaluationStage, "evaluate_model", "Evaluating {wildcards.name}",
          "Generations", "generations.parquet", needs="sample", checks=("generations",)),
    Stage("labels", configs.LabelsStage, "label_strategies", "Labeling {wildcards.name}",
          "Labels: strategy, steps, reward", "generations.parquet, rollouts.parquet"),
    Stage("measures", configs.MeasuresStage, "measure_experiment", "Measuring the experiment {wildcards.name}",
          "Measures", "pass_rates.parquet …", checks=("remade", "pass_rates")),
    Stage("exhibits", configs.ExhibitsStage, "draw_exhibit", "Drawing {wildcards.name}",
          "Figures and tables", "notebook.ipynb"),
    Stage("verdicts", configs.VerdictsStage, "audit_claims", "Testing the claims of the paper",
          "Verdicts", "claims.csv, tests.csv"),
)  # fmt: skip
STAGES = {stage.name: stage for stage in _ROWS}
"""By name, in the order in which data flow."""
OTHER_TARGETS = ("figures", "audit", "verify", "plan", "export_crate", "publish_audit")
"""The rules that are neither a stage nor named after a figure, a table or an experiment."""
