"""Plan the artifacts of one run: problems, demonstrations, base model, SFT, RL, evaluation and labels.

`selectimprove.dag.plan` puts runs together into experiments, figures and tables.
"""

from functools import cache

from selectimprove.config.params import NO_SFT, Case, Params
from selectimprove.config.stages import (
    BaseStage,
    DemonstrationsStage,
    EvaluationStage,
    LabelsStage,
    PretrainedStage,
    ProblemsStage,
    RftStage,
    RlStage,
    Run,
    SftStage,
)
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.table import STAGES
from selectimprove.tasks.interface import Problems
from selectimprove.types import Strict


class Runs:
    """The artifacts of runs; shared artifacts are planned once."""

    def __init__(self, params: Params):
        self.params = params
        self.artifacts: dict[str, dict[str, Artifact]] = {stage: {} for stage in STAGES}
        """By stage and name."""
        self._base, self._sft = cache(self._base), cache(self._sft)

    def add(self, stage: str, slug: str, config: Strict, inputs: dict[str, Artifact] | None = None) -> Artifact:
        """Plan an artifact, or return the one that is already planned."""
        artifact = Artifact(stage, slug, config, inputs or {})
        return self.artifacts[stage].setdefault(artifact.name, artifact)

    def _add(self, stage: str, slug: str, config: Strict, inputs: dict[str, Artifact] | None = None) -> Artifact:
        """Plan an artifact of a run; its slug tells the scale, so no model passes for one of another scale."""
        suffix = self.params.suffix
        return self.add(stage, f"{slug}-{suffix}" if suffix else slug, config, inputs)

    def _problems(self, case: Case, split: str, n_problems: int, problems: Problems, seed: int) -> Artifact:
        settings = case.settings
        config = ProblemsStage(
            task_name=case.task, task=settings, seed=seed, split=split, n_problems=n_problems, problems=problems
        )
        return self._add("problems", f"{split}-{settings.slug}-{problems.slug}-s{seed}", config)

    def _base(self, case: Case, task: str, seed: int) -> Artifact:
        """Plan the base model of a task and seed, or the pretrained model, which they all share."""
        params = case.params
        if params.pretrained:
            config = PretrainedStage(
                pretrained=params.pretrained,
                model=params.model,
                chat=params.system_prompt is not None,
                target_modules=params.lora.target_modules if params.lora else None,
                arithmetic=params.arithmetic,
            )
            return self.add("pretrained", params.pretrained.name, config)
        section, settings = getattr(params.tasks, task), case.settings_of(task)
        training, inputs = params.base, {}
        if section.continued:
            training = training.model_copy(update=section.continued.model_dump(exclude={"after"}))
            inputs = {"base": self._base(case, section.continued.after, seed)}
        config = BaseStage(
            task_name=task,
            task=settings,
            seed=seed,
            model=None if inputs else params.model,
            base=training,
            documents=section.documents,
            optimizer=params.optimizer,
            arithmetic=params.arithmetic,
        )
        return self._add("base", f"{settings.slug}-s{seed}", config, inputs)

    def _sft(self, case: Case, mix: str, seed: int) -> Artifact:
        """Plan the model after SFT on a mix, or without SFT."""
        params, section, settings = case.params, case.section, case.settings
        if mix == NO_SFT:
            return self._base(case, case.task, seed)
        chosen = section.sft_mixes[mix]
        demonstrations = chosen.model_dump(exclude={"problems"})
        inputs = {"base": self._base(case, case.task, seed)}
        for split, n_problems in (("train", params.sft.n_train), ("validation", params.sft.n_validation)):
            problems = self._problems(case, f"sft_{split}", n_problems, chosen.problems or section.sft_problems, seed)
            config = DemonstrationsStage(task_name=case.task, task=settings, seed=seed, demonstrations=demonstrations)
            slug = f"{mix}-{split}-{settings.slug}-s{seed}"
            inputs[split] = self._add("demonstrations", slug, config, {"problems": problems})
        config = SftStage(
            seed=seed,
            optimizer=params.optimizer,
            lora=params.lora,
            system_prompt=params.system_prompt,
            arithmetic=params.arithmetic,
            **params.sft.model_dump(include=set(SftStage.model_fields)),
        )
        return self._add("sft", f"{mix}-{settings.slug}-s{seed}", config, inputs)

    def policy(self, case: Case, run: Run) -> Artifact:
        """Plan the model of a run."""
        params, sft = case.params, self._sft(case, run.sft, run.seed)
        if run.training == "sft":
            return sft
        distribution = case.section.rl_problems[run.training]
        problems = self._problems(case, "rl", params.rl.n_prompts, distribution, run.seed)
        inputs = {"sft": sft, "problems": problems} | self._adapted(params, sft)
        shared = {
            "task_name": case.task,
            "task": case.settings,
            "seed": run.seed,
            "optimizer": params.optimizer,
            "system_prompt": params.system_prompt,
            "sampling": params.sampling,
            "arithmetic": params.arithmetic,
        }
        rl = params.rl
        if not rl.is_control:
            return self._add("rl", self._slug(case, run), RlStage(rl=rl, **shared), inputs)
        config = RftStage(
            method=rl.method,
            n_prompts=rl.n_batches * rl.prompts_per_step // params.rft.n_rounds,
            n_samples=rl.group_size,
            temperature=rl.temperature,
            rft=params.rft,
            **shared,
        )
        return self._add("rft", self._slug(case, run), config, inputs)

    def _slug(self, case: Case, run: Run) -> str:
        return f"{run.sft}-{case.settings.slug}-{run.training}-s{run.seed}"

    def _adapted(self, params: Params, policy: Artifact) -> dict[str, Artifact]:
        """Return the base model that an adapter needs beside it."""
        return {"base": policy.inputs["base"]} if params.lora else {}

    def labels(self, case: Case, run: Run) -> Artifact:
        """Plan the labels of a run's generations: those of its evaluation and, after RL, its rollouts."""
        params, evaluation = case.params, case.params.evaluation
        policy, slug = self.policy(case, run), self._slug(case, run)
        problem_sets = {
            name: self._problems(case, "test", evaluation.n_problems, problems, run.seed)
            for name, problems in case.section.test_problems.items()
        }
        config = EvaluationStage(
            task_name=case.task,
            task=case.settings,
            seed=run.seed,
            **evaluation.model_dump(include={"temperature", "n_samples", "told_problems"}),
            # A model before RL is one checkpoint, so experiments share its generations.
            checkpoints=evaluation.checkpoints if run.training != "sft" else "all",
            curve_problems={
                name: n_problems
                for name, n_problems in evaluation.curve_problems.items()
                if name in problem_sets and evaluation.checkpoints == "all" and run.training != "sft"
            },
            system_prompt=params.system_prompt,
            sampling=params.sampling,
            arithmetic=params.arithmetic,
        )
        inputs = {"policy": policy} | self._adapted(params, policy) | problem_sets
        labeled = {"evaluation": self._add("evaluation", slug, config, inputs)} | problem_sets
        if run.training != "sft":
            labeled |= {"rl": policy, "rollouts": policy.inputs["problems"]}
        return self._add("labels", slug, LabelsStage(task_name=case.task, task=case.settings), labeled)
