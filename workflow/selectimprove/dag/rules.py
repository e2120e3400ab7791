"""What the rule of a stage asks of the plan: input, priority and command of the artifact that its wildcard names."""

import shlex
from dataclasses import dataclass

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient
from snakemake.iocontainers import Wildcards

from selectimprove.config.params import JobResources
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.command import stage_command
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import Stage


def experiment_priority(plan: Plan, rank: int) -> int:
    """Return the priority of what the experiment of a rank needs: those come first that are shown first; before all of them, −1."""
    return 1000 * (len(plan.measures) - rank)


@dataclass(frozen=True)
class StageRule:
    """A stage as a rule of a plan's; all methods but `resources` are functions of wildcards.

    Parameters
    ----------
    plan : Plan
    stage : Stage
    python : str
        The interpreter of jobs.
    """

    plan: Plan
    stage: Stage
    python: str

    @property
    def resources(self) -> JobResources:
        return self.stage.resources(self.plan.params.resources)

    def artifact(self, wildcards: Wildcards) -> Artifact:
        """Look an artifact up by its name, which ends with its key."""
        try:
            return self.plan.artifacts[self.stage.name][wildcards.name]
        except KeyError:
            raise WorkflowError(
                f"results/{self.stage.name}/{wildcards.name}: not in the current plan; `snakemake --dry-run figures` lists what is"
            ) from None

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return what the artifact's inputs leave when they are complete."""
        return [ancient(str(source.done)) for source in self.artifact(wildcards).inputs.values()]

    def priority(self, wildcards: Wildcards) -> int:
        """Order jobs by experiment, and within one by stage."""
        return experiment_priority(self.plan, self.plan.ranks[self.artifact(wildcards)]) + self.stage.priority

    def command(self, wildcards: Wildcards) -> str:
        """Return the command that makes the artifact, in as many processes as it gets GPUs."""
        artifact = self.artifact(wildcards)
        words = stage_command(artifact, artifact.folder, self.plan.params.resources, self.python)
        # A job that asks for no GPU must not find one: its results would be others.
        hidden = "" if self.resources.gpus else "CUDA_VISIBLE_DEVICES= "
        return hidden + shlex.join(words)
