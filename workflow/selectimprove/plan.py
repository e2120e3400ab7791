"""The plan: which artifacts the params ask for, each with its config, inputs and key.

Experiments are data. A figure or table names an experiment; an experiment is a set of runs; a run is a variant of the params, an
SFT mix, a distribution of RL problems and a seed. Snakemake's rules look artifacts up here by stage and name, so a new experiment
or figure changes no rule::

    problems ──> demonstrations ──> sft ──> rl ──> evaluation ──> labels ──> measures ──> exhibits
    base ─────────────────────────┘

Those on compositions are planned by `selectimprove.plan_compositions`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path

from selectimprove import keys
from selectimprove.claims import Claim, can_run, read_claims
from selectimprove.config import (
    AuditStage,
    BaseStage,
    DemonstrationsStage,
    EvaluationStage,
    ExhibitStage,
    LabelStage,
    MeasureStage,
    Params,
    PretrainedStage,
    ProblemsStage,
    RlStage,
    Run,
    SftStage,
    Strict,
    Task,
    VariantSettings,
)
from selectimprove.params import notebook_of, resolve_params
from selectimprove.plan_compositions import composition_runs, plan_compositions, plan_labels

RESULTS = Path("results")
MODULES = {
    "problems": "datasets",
    "compositions": "compositions",
    "demonstrations": "demonstrations",
    "base": "base",
    "pretrained": "pretrained",
    "composition_base": "composition_base",
    "sft": "sft",
    "rl": "rl",
    "evaluation": "evaluate",
    "labels": "label",
    "composition_labels": "label_compositions",
    "measures": "measure",
    "composition_measures": "measure_compositions",
    "exhibits": "exhibit",
    "verdicts": "audit",
}
"""The module of each stage, in the order in which data flow."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A folder of results: what it is for people (`slug`), and what it is a function of.

    Parameters
    ----------
    stage : str
        A key of `MODULES`.
    slug : str
    config : Strict
        The stage's config.
    inputs : dict of str to Artifact
        By role.
    modules : frozenset of str
        Modules whose source counts besides the stage's own.
    """

    stage: str
    slug: str
    config: Strict
    inputs: dict[str, "Artifact"] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()

    @cached_property
    def digest(self) -> str:
        return keys.digest(
            {
                "config": self.config.model_dump(mode="json"),
                "source": keys.source_digests(self.modules | {MODULES[self.stage]}),
                "inputs": {role: artifact.name for role, artifact in self.inputs.items()},
            }
        )

    @cached_property
    def name(self) -> str:
        return f"{self.slug}-{self.digest}"

    @property
    def folder(self) -> Path:
        return RESULTS / self.stage / self.name

    @property
    def done(self) -> Path:
        """The file that is there only when the folder is complete."""
        return self.folder / "provenance.json"


def collect_chain(
    artifacts: Iterable[Artifact], counts: Callable[[Artifact], bool] = lambda artifact: True
) -> list[Artifact]:
    """List artifacts and all that they are made from, each once, an exhibit's chain from its end.

    Parameters
    ----------
    artifacts : iterable of Artifact
    counts : callable, optional
        Whether an artifact counts; one that does not is left out, and so is what only it is made from.

    Returns
    -------
    list of Artifact
    """
    found, pending = {}, [*artifacts][::-1]
    while pending:
        artifact = pending.pop()
        if artifact not in found and counts(artifact):
            found[artifact] = None
            pending += [*artifact.inputs.values()][::-1]
    return [*found]


def engine_module(params: Params) -> str:
    """Name the module of the engine that samples; `selectimprove.sampling` loads it by this name."""
    return f"engine_{params.sampling.engine}"


class Plan:
    """All artifacts that the params ask for.

    Parameters
    ----------
    params : Params
    """

    def __init__(self, params: Params):
        self.params = params
        self.artifacts: dict[str, dict[str, Artifact]] = {stage: {} for stage in MODULES}
        self.figures, self.tables = (
            {name: self._exhibit(name, exhibit) for name, exhibit in exhibits.items() if exhibit.draw}
            for exhibits in (params.figures, params.tables)
        )
        self.audit = self._audit()

    def add(self, stage: str, slug: str, config: Strict, inputs=None, modules=frozenset()) -> Artifact:
        """Plan an artifact, or find it if it is planned."""
        artifact = Artifact(stage, slug, config, inputs or {}, modules)
        return self.artifacts[stage].setdefault(artifact.name, artifact)

    def _problems(
        self, params: Params, split: str, n_problems: int, steps, evaluation_share: float, seed: int
    ) -> Artifact:
        task = params.task
        config = ProblemsStage(
            seed=seed, task=task, split=split, n_problems=n_problems, steps=steps, evaluation_share=evaluation_share
        )
        return self.add("problems", f"{split}-gf{task.field_order}-{steps[0]}to{steps[1]}-s{seed}", config)

    def base(self, params: Params, seed: int) -> Artifact:
        """Plan the base model of a seed, or the pretrained one, which all seeds share."""
        if params.pretrained:
            config = PretrainedStage(pretrained=params.pretrained, model=params.model)
            return self.add("pretrained", params.pretrained.repository.partition("/")[2], config)
        config = BaseStage(
            seed=seed, task=params.task, model=params.model, base=params.base, optimizer=params.optimizer
        )
        return self.add("base", f"gf{params.task.field_order}-s{seed}", config)

    def sft(self, params: Params, slug: str, seed: int, inputs: dict[str, Artifact]) -> Artifact:
        """Plan SFT of the model ``base`` on demonstrations ``train`` and ``validation``."""
        settings = params.sft.model_dump(include=set(SftStage.model_fields))
        config = SftStage(
            seed=seed,
            optimizer=params.optimizer,
            lora=params.lora,
            system_prompt=params.system_prompt,
            **settings,
        )
        return self.add("sft", slug, config, inputs)

    def rl(self, params: Params, slug: str, seed: int, sft: Artifact, problems: Artifact) -> Artifact:
        """Plan RL of an SFT model on problems."""
        config = RlStage(
            seed=seed,
            rl=params.rl,
            optimizer=params.optimizer,
            system_prompt=params.system_prompt,
            sampling=params.sampling,
        )
        inputs = {"sft": sft, "problems": problems} | self._adapted(params, sft)
        return self.add("rl", slug, config, inputs, frozenset({engine_module(params)}))

    def evaluation(
        self, params: Params, slug: str, seed: int, policy: Artifact, problem_sets: dict[str, Artifact]
    ) -> Artifact:
        """Plan the generations of a model on problem sets."""
        config = EvaluationStage(
            seed=seed,
            temperature=params.evaluation.temperature,
            n_samples=params.evaluation.n_samples,
            # A model after SFT is one checkpoint: whoever asks for it shares its generations.
            checkpoints="all" if policy.stage == "sft" else params.evaluation.checkpoints,
            system_prompt=params.system_prompt,
            sampling=params.sampling,
        )
        inputs = {"policy": policy} | self._adapted(params, policy) | problem_sets
        return self.add("evaluation", slug, config, inputs, frozenset({engine_module(params)}))

    def _adapted(self, params: Params, policy: Artifact) -> dict[str, Artifact]:
        """Return what an adapter needs beside it: the model that it belongs to."""
        return {"base": policy.inputs["base"]} if params.lora else {}

    def _sft(self, params: Params, mix: str, seed: int) -> Artifact:
        task, sft = params.task, params.sft
        inputs = {"base": self.base(params, seed)}
        for split, n_problems in (("train", sft.n_train), ("validation", sft.n_validation)):
            problems = self._problems(params, f"sft_{split}", n_problems, sft.steps, sft.evaluation_share, seed)
            config = DemonstrationsStage(seed=seed, task=task, forward_share=params.sft_mixes[mix])
            slug = f"{mix}-{split}-gf{task.field_order}-s{seed}"
            inputs[split] = self.add("demonstrations", slug, config, {"problems": problems})
        return self.sft(params, f"{mix}-gf{task.field_order}-s{seed}", seed, inputs)

    def _rl(self, params: Params, mix: str, training: str, seed: int) -> Artifact:
        distribution = params.rl_problems[training]
        problems = self._problems(
            params, "rl", params.rl.n_prompts, distribution.steps, distribution.evaluation_share, seed
        )
        slug = f"{mix}-gf{params.task.field_order}-{training}-s{seed}"
        return self.rl(params, slug, seed, self._sft(params, mix, seed), problems)

    def _policy(self, params: Params, run: Run) -> Artifact:
        if run.training == "sft":
            return self._sft(params, run.sft, run.seed)
        return self._rl(params, run.sft, run.training, run.seed)

    def _labels(self, params: Params, run: Run) -> Artifact:
        """Labels of all generations of a run: its evaluations, and its rollouts if it was trained by RL."""
        evaluation, task = params.evaluation, params.task
        policy = self._policy(params, run)
        problem_sets = {
            f"{steps[0]}-{steps[1]}": self._problems(params, "test", evaluation.n_problems, steps, 0.5, run.seed)
            for steps in evaluation.step_ranges
        }
        slug = f"{run.sft}-gf{task.field_order}-{run.training}-s{run.seed}"
        generations = self.evaluation(params, slug, run.seed, policy, problem_sets)
        inputs = {"evaluation": generations} | problem_sets
        if run.training != "sft":
            inputs |= {"rl": policy, "rollouts": policy.inputs["problems"]}
        return self.add("labels", slug, LabelStage(task=task), inputs)

    def _runs(self, name: str) -> list[tuple[Run, Params]]:
        """List the runs of an experiment, each with the params of its variant."""
        experiment = self.params.experiments[name]
        variants = {variant: resolve_params(self.params, name, variant) for variant in experiment.variants}
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
        config = MeasureStage(
            runs=[run for run, _ in runs],
            variants={
                run.variant: VariantSettings(task=params.task, sft=params.sft, rl=params.rl) for run, params in runs
            },
            sft_mixes={name: self.params.sft_mixes[name] for name in experiment.sft_mixes},
            rl_problems={name: self.params.rl_problems[name] for name in experiment.rl_problems},
            statistics=self.params.statistics,
        )
        inputs = {}
        for run, params in runs:
            inputs |= {f"labels/{run.name}": self._labels(params, run), f"policy/{run.name}": self._policy(params, run)}
        return self.add("measures", name, config, inputs)

    def _measured(self, name: str) -> Artifact:
        return plan_compositions(self, name) if name in self.params.compositions else self._measures(name)

    def _audit(self) -> Artifact:
        """Test all claims on raw generations."""
        claims = read_claims()
        can = {name: claim for name, claim in claims.items() if self._can_run(claim)}
        experiments = sorted({claim.experiment for claim in can.values()})
        inputs, seeds, tasks = {}, {}, {}
        for name in experiments:
            for run, task, labels in self._audited_runs(name):
                seeds.setdefault(name, [])
                seeds[name] += [run.seed] * (run.seed not in seeds[name])
                tasks.setdefault(name, {})[run.variant] = task
                sources = dict(labels.inputs)
                model = f"{name}/{run.name}"
                inputs[f"evaluation/{model}"] = sources.pop("evaluation")
                if policy := sources.pop("rl", None):
                    inputs[f"rl/{model}"] = policy
                inputs |= {f"problems/{model}/{role}": problems for role, problems in sources.items()}
        config = AuditStage(
            scale=self.params.scale,
            claims={name: claim.model_dump(mode="json") for name, claim in claims.items()},
            run=list(can),
            seeds=seeds,
            tasks=tasks,
            statistics=self.params.statistics,
        )
        return self.add("verdicts", "claims", config, inputs)

    def _audited_runs(self, name: str) -> list[tuple[Run, Task, Artifact]]:
        if name in self.params.compositions:
            runs = composition_runs(self.params, name)
            task = resolve_params(self.params, name).task
            return [(run, task, plan_labels(self, name, run)) for run in runs]
        return [(run, params.task, self._labels(params, run)) for run, params in self._runs(name)]

    def _can_run(self, claim: Claim) -> bool:
        known = claim.experiment in self.params.experiments or claim.experiment in self.params.compositions
        return can_run(claim, resolve_params(self.params, claim.experiment) if known else self.params)

    def _exhibit(self, name, exhibit) -> Artifact:
        notebook = notebook_of(name, exhibit)
        source = keys.notebook_source(notebook)
        config = ExhibitStage(
            name=name,
            scale=self.params.scale,
            caption=exhibit.caption,
            plot=exhibit.plot,
            notebook=notebook.stem,
            notebook_source=keys.digest(keys.canonical_source(source)),
        )
        modules = frozenset(keys.imported_modules(source))
        return self.add("exhibits", name, config, {"measures": self._measured(exhibit.experiment)}, modules)
