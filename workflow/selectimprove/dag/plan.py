"""The plan: which artifacts the params ask for, each with its config, inputs and key.

Experiments are data. A figure or table names an experiment; an experiment is a set of runs; a run is a variant of the params, an
SFT mix, a distribution of RL problems and a seed. Snakemake's rules look artifacts up here by stage and name, so a new experiment,
task or figure changes no rule. `selectimprove.dag.table` shows how stages follow one another.
"""

from itertools import product

from selectimprove.analysis.claims import Claim, can_run, read_claims
from selectimprove.artifacts.keys import canonical_source, digest, imported_modules, notebook_source
from selectimprove.config.params import NO_SFT, Exhibit, Params
from selectimprove.config.resolving import Case, notebook_of, resolve_case
from selectimprove.config.stages import (
    BaseStage,
    DemonstrationsStage,
    EvaluationStage,
    ExhibitsStage,
    LabelsStage,
    MeasuresStage,
    PretrainedStage,
    ProblemsStage,
    RlStage,
    Run,
    SftStage,
    TaskOfExperiment,
    VariantSettings,
    VerdictsStage,
)
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.table import STAGES
from selectimprove.tasks.interface import Problems
from selectimprove.types import Strict


class Plan:
    """All artifacts that the params ask for.

    Parameters
    ----------
    params : Params
    """

    def __init__(self, params: Params):
        self.params = params
        self.artifacts: dict[str, dict[str, Artifact]] = {stage: {} for stage in STAGES}
        self.figures, self.tables = (
            {name: self._exhibit(name, exhibit) for name, exhibit in exhibits.items() if exhibit.draw}
            for exhibits in (params.figures, params.tables)
        )
        self.verdicts = self._verdicts()

    @property
    def exhibits(self) -> dict[str, Artifact]:
        """All figures and tables that are drawn."""
        return {**self.figures, **self.tables}

    def add(self, stage: str, slug: str, config: Strict, inputs: dict[str, Artifact] | None = None) -> Artifact:
        """Plan an artifact, or find it if it is planned."""
        artifact = Artifact(stage, slug, config, inputs or {})
        return self.artifacts[stage].setdefault(artifact.name, artifact)

    def _problems(self, case: Case, split: str, n_problems: int, problems: Problems, seed: int) -> Artifact:
        settings = case.settings
        config = ProblemsStage(
            task_name=case.task, task=settings, seed=seed, split=split, n_problems=n_problems, problems=problems
        )
        return self.add("problems", f"{split}-{settings.slug}-{problems.slug}-s{seed}", config)

    def _base(self, case: Case, task: str, seed: int) -> Artifact:
        """Plan the base model of a task and seed, or the pretrained one, which all tasks and seeds share."""
        params = case.params
        if params.pretrained:
            config = PretrainedStage(pretrained=params.pretrained, model=params.model)
            return self.add("pretrained", params.pretrained.repository.partition("/")[2], config)
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
        )
        return self.add("base", f"{settings.slug}-s{seed}", config, inputs)

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
            inputs[split] = self.add("demonstrations", slug, config, {"problems": problems})
        config = SftStage(
            seed=seed,
            optimizer=params.optimizer,
            lora=params.lora,
            system_prompt=params.system_prompt,
            **params.sft.model_dump(include=set(SftStage.model_fields)),
        )
        return self.add("sft", f"{mix}-{settings.slug}-s{seed}", config, inputs)

    def _policy(self, case: Case, run: Run) -> Artifact:
        """Plan the model of a run."""
        params, sft = case.params, self._sft(case, run.sft, run.seed)
        if run.training == "sft":
            return sft
        distribution = case.section.rl_problems[run.training]
        problems = self._problems(case, "rl", params.rl.n_prompts, distribution, run.seed)
        config = RlStage(
            task_name=case.task,
            task=case.settings,
            seed=run.seed,
            rl=params.rl,
            optimizer=params.optimizer,
            system_prompt=params.system_prompt,
            sampling=params.sampling,
        )
        inputs = {"sft": sft, "problems": problems} | self._adapted(params, sft)
        return self.add("rl", self._slug(case, run), config, inputs)

    def _slug(self, case: Case, run: Run) -> str:
        return f"{run.sft}-{case.settings.slug}-{run.training}-s{run.seed}"

    def _adapted(self, params: Params, policy: Artifact) -> dict[str, Artifact]:
        """Return what an adapter needs beside it: the model that it belongs to."""
        return {"base": policy.inputs["base"]} if params.lora else {}

    def _labels(self, case: Case, run: Run) -> Artifact:
        """Plan the labels of all generations of a run: its evaluations, and its rollouts if it was trained by RL."""
        params, evaluation = case.params, case.params.evaluation
        policy, slug = self._policy(case, run), self._slug(case, run)
        problem_sets = {
            name: self._problems(case, "test", evaluation.n_problems, problems, run.seed)
            for name, problems in case.section.test_problems.items()
        }
        config = EvaluationStage(
            task_name=case.task,
            task=case.settings,
            seed=run.seed,
            **evaluation.model_dump(include={"temperature", "n_samples", "curve_problems", "told_problems"}),
            # A model before RL is one checkpoint: whoever asks for it shares its generations.
            checkpoints=evaluation.checkpoints if policy.stage == "rl" else "all",
            system_prompt=params.system_prompt,
            sampling=params.sampling,
        )
        inputs = {"policy": policy} | self._adapted(params, policy) | problem_sets
        labeled = {"evaluation": self.add("evaluation", slug, config, inputs)} | problem_sets
        if run.training != "sft":
            labeled |= {"rl": policy, "rollouts": policy.inputs["problems"]}
        return self.add("labels", slug, LabelsStage(task_name=case.task, task=case.settings), labeled)

    def _runs(self, name: str) -> list[tuple[Run, Case]]:
        """List the runs of an experiment, each with the params of its variant."""
        experiment = self.params.experiments[name]
        variants = {variant: resolve_case(self.params, name, variant) for variant in experiment.variants}
        return [
            (Run(variant=variant, sft=mix, training=training, seed=seed), variants[variant])
            for seed, variant, mix, training in product(
                experiment.seeds or self.params.seeds,
                experiment.variants,
                experiment.sft_mixes,
                ["sft", *experiment.rl_problems],
            )
        ]

    def _measures(self, name: str) -> Artifact:
        experiment, runs = self.params.experiments[name], self._runs(name)
        section = resolve_case(self.params, name).section
        mixes = {mix: section.sft_mixes[mix].model_dump(mode="json") for mix in experiment.sft_mixes if mix != NO_SFT}
        for mix in mixes.values():
            mix["problems"] = mix["problems"] or section.sft_problems.model_dump(mode="json")
        config = MeasuresStage(
            task_name=experiment.task,
            runs=[run for run, _ in runs],
            variants={
                run.variant: VariantSettings(task=case.settings, sft=case.params.sft, rl=case.params.rl)
                for run, case in runs
            },
            sft_mixes=mixes,
            rl_problems={
                problems: section.rl_problems[problems].model_dump(mode="json") for problems in experiment.rl_problems
            },
            statistics=self.params.statistics,
        )
        inputs = {}
        for run, case in runs:
            inputs |= {f"labels/{run.name}": self._labels(case, run), f"policy/{run.name}": self._policy(case, run)}
        return self.add("measures", name, config, inputs)

    def _verdicts(self) -> Artifact:
        """Test all claims on raw generations."""
        claims = read_claims(params=self.params)
        can = {name: claim for name, claim in claims.items() if self.can_run(claim)}
        inputs, seeds, tasks = {}, {}, {}
        for name in sorted({claim.experiment for claim in can.values()}):
            for run, case in self._runs(name):
                seeds.setdefault(name, [])
                seeds[name] += [run.seed] * (run.seed not in seeds[name])
                task = TaskOfExperiment(task_name=case.task, task=case.settings)
                tasks.setdefault(name, {})[run.variant] = task
                sources = dict(self._labels(case, run).inputs)
                model = f"{name}/{run.name}"
                inputs[f"evaluation/{model}"] = sources.pop("evaluation")
                if policy := sources.pop("rl", None):
                    inputs[f"rl/{model}"] = policy
                inputs |= {f"problems/{model}/{role}": problems for role, problems in sources.items()}
        config = VerdictsStage(
            scale=self.params.scale,
            claims={name: claim.model_dump(mode="json") for name, claim in claims.items()},
            run=list(can),
            seeds=seeds,
            tasks=tasks,
            statistics=self.params.statistics,
        )
        return self.add("verdicts", "claims", config, inputs)

    def can_run(self, claim: Claim) -> bool:
        """Tell whether the params have what a claim's tests name."""
        known = claim.experiment in self.params.experiments
        return can_run(claim, self.params.scale, resolve_case(self.params, claim.experiment) if known else None)

    def _exhibit(self, name: str, exhibit: Exhibit) -> Artifact:
        notebook = notebook_of(name, exhibit)
        source = notebook_source(notebook)
        config = ExhibitsStage(
            name=name,
            scale=self.params.scale,
            caption=exhibit.caption,
            plot=exhibit.plot,
            notebook=notebook.stem,
            notebook_source=digest(canonical_source(source)),
            notebook_modules=sorted(imported_modules(source)),
        )
        return self.add("exhibits", name, config, {"measures": self._measures(exhibit.experiment)})
