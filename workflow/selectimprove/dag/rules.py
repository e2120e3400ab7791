"""Input, priority and command of a stage's rule, from the plan and the artifact that the wildcard names."""

import shlex
from dataclasses import dataclass

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient
from snakemake.iocontainers import Wildcards

from selectimprove.config.sections import JobResources
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.command import stage_command
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import Stage


def experiment_priority(plan: Plan, rank: int) -> int:
    """Return the priority of an experiment's artifacts by its rank; rank −1 comes before all experiments."""
    return 1000 * (len(plan.measures) - rank)


@dataclass(frozen=True)
class StageRule:
    """A stage as a rule; all methods but `resources` are functions of wildcards."""

    plan: Plan
    stage: Stage
    python: str
    """The interpreter of jobs."""

    @property
    def resources(self) -> JobResources:
        return self.stage.resources(self.plan.params.resources)

    def artifact(self, wildcards: Wildcards) -> Artifact:
        """Look an artifact up by its name, which ends with its key."""
        try:
            return self.plan.artifacts[self.stage.name][wildcards.name]
        except KeyError:
            what = "not in the current plan; `snakemake --dry-run figures` lists what is"
            raise WorkflowError(f"results/{self.stage.name}/{wildcards.name}: {what}") from None

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return the files that mark the artifact's inputs as complete."""
        return [ancient(str(source.done)) for source in self.artifact(wildcards).inputs.values()]

    def priority(self, wildcards: Wildcards) -> int:
        """Order jobs by experiment, and within one by stage."""
        return experiment_priority(self.plan, self.plan.ranks[self.artifact(wildcards)]) + self.stage.priority

    def command(self, wildcards: Wildcards) -> str:
        """Return the command that makes the artifact."""
        artifact = self.artifact(wildcards)
        words = stage_command(artifact, artifact.folder, self.plan.params.resources, self.python)
        # A job that asks for no GPU must not use one: its results would differ.
        hidden = "" if self.resources.gpus else "CUDA_VISIBLE_DEVICES= "
        return hidden + shlex.join(words)
