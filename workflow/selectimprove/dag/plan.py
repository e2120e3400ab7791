"""Plan the artifacts that the params ask for, each with its config, inputs and key.

A figure or table shows an experiment; an experiment is a set of runs; a run is a variant of the params, an SFT mix, a
distribution of RL problems and a seed. Snakemake's rules look artifacts up here by stage and name, so a new experiment,
task or figure changes no rule.
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import chain, product

from selectimprove.analysis.claims import Claim, can_run, read_claims
from selectimprove.artifacts.keys import canonical_source, digest, imported_modules, notebook_source
from selectimprove.config.params import ALL_CLAIMS, NO_SFT, Case, Exhibit, Params, resolve_case, resolve_variants
from selectimprove.config.sources import notebook_path
from selectimprove.config.stages import (
    ExhibitsStage,
    MeasuresStage,
    Run,
    TaskOfExperiment,
    VariantSettings,
    VerdictsStage,
)
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.runs import Runs
from selectimprove.dag.table import OTHER_TARGETS, STAGES
from selectimprove.errors import ParamsError


class Plan(Runs):
    """All artifacts that the params ask for."""

    def __init__(self, params: Params):
        super().__init__(params)
        self.claims = read_claims(params=params)
        exhibits = [*params.figures.values(), *params.tables.values()]
        # Experiments that are drawn by default come first.
        order = [*(exhibit.experiment for exhibit in sorted(exhibits, key=lambda exhibit: not exhibit.draw))]
        self.measures = {name: self._measures(name) for name in dict.fromkeys([*order, *params.experiments])}
        self.all_figures, self.all_tables = (
            {name: self._exhibit(name, exhibit) for name, exhibit in exhibits.items()}
            for exhibits in (params.figures, params.tables)
        )
        self.verdicts = self._verdicts("claims", self.claims, experiments=self.audited_experiments)

    @property
    def audited_experiments(self) -> list[str]:
        """The experiments whose claims the audit tests."""
        return self.params.audit.experiments or [*self.params.experiments]

    @cached_property
    def cases(self) -> dict[str, dict[str | None, Case]]:
        """The params of each experiment by variant; None is the experiment without a variant."""
        return {
            name: {None: resolve_case(self.params, name), **resolve_variants(self.params, name)[0]}
            for name in self.params.experiments
        }

    def equal_variants(self, artifacts: Iterable[Artifact]) -> list[str]:
        """Name the variants that the experiments among artifacts leave out, because another has the same models."""
        return [
            f"experiments.{artifact.slug}.variants.{variant}: left out, since these params make it equal to {other}"
            for artifact in artifacts
            if artifact.stage == "measures"
            for variant, other in resolve_variants(self.params, artifact.slug)[1].items()
        ]

    @cached_property
    def ranks(self) -> dict[Artifact, int]:
        """For each artifact, the place in `measures` of the first experiment that needs it; verdicts come last."""
        ranks: dict[Artifact, int] = {}
        measures = list(self.measures.values())
        for end in (*measures, *self.all_exhibits.values()):
            rank = measures.index(end.inputs.get("measures", end))
            for artifact in collect_ancestors([end]):
                ranks.setdefault(artifact, rank)
        return {self.verdicts: len(measures)} | ranks

    @property
    def all_exhibits(self) -> dict[str, Artifact]:
        """All figures and tables, drawn by default or not."""
        return self.all_figures | self.all_tables

    @property
    def exhibits(self) -> dict[str, Artifact]:
        """The figures and tables that are drawn by default."""
        shown = self.params.figures | self.params.tables
        return {name: artifact for name, artifact in self.all_exhibits.items() if shown[name].draw}

    @property
    def extras(self) -> dict[str, Artifact]:
        """The figures and tables that are drawn only when asked for."""
        return {name: artifact for name, artifact in self.all_exhibits.items() if name not in self.exhibits}

    @property
    def audited(self) -> dict[str, Artifact]:
        """The figures and tables on the audit's page: those drawn by default, and extras that show a claim's models."""
        shown, tested = self.params.figures | self.params.tables, self.verdicts.config.seeds
        of_claims = [name for name in self.extras if shown[name].experiment in tested and not shown[name].claims]
        chosen = {*self.audited_experiments, None, *([] if self.params.audit.experiments else [ALL_CLAIMS])}
        return {
            name: self.all_exhibits[name]
            for name in (*self.exhibits, *of_claims)
            if {shown[name].experiment, shown[name].claims} <= chosen
        }

    @cached_property
    def targets(self) -> dict[str, list[str]]:
        """Map target names to figures and tables; an experiment stands for those that show no other experiment."""
        exhibits = {**self.params.figures, **self.params.tables}
        found = {name: [] for name in self.params.experiments} | {name: [name] for name in exhibits}
        for name, exhibit in exhibits.items():
            if exhibit.claims != ALL_CLAIMS and name not in found[exhibit.experiment]:
                found[exhibit.experiment].append(name)
        taken = {*OTHER_TARGETS, *(stage.rule for stage in STAGES.values()), *(f"publish_{name}" for name in exhibits)}
        for name in found:
            if name in taken:
                raise ParamsError(f"params.yaml: {name}: this name is taken by a rule; choose another name")
        return found

    def _runs(self, name: str) -> list[tuple[Run, Case]]:
        """List the runs of an experiment, each with the params of its variant."""
        experiment = self.params.experiments[name]
        trainings = ["sft", *experiment.rl_problems]
        cases = {variant: case for variant, case in self.cases[name].items() if variant is not None}
        chosen = product(self._seeds(name), cases, experiment.sft_mixes, trainings)
        return [
            (Run(variant=variant, sft=mix, training=training, seed=seed), cases[variant])
            for seed, variant, mix, training in chosen
        ]

    def ends_of(self, names: Iterable[str]) -> list[Artifact]:
        """List the last artifacts of targets: figures and tables or, if none shows an experiment, its measures."""
        shown = [self.all_exhibits[exhibit] for name in names for exhibit in self.targets[name]]
        return [*shown, *(self.measures[name] for name in names if not self.targets[name])]

    def _seeds(self, name: str) -> list[int]:
        experiment = self.params.experiments.get(name)
        return (experiment and experiment.seeds) or self.params.seeds

    def _measures(self, name: str) -> Artifact:
        experiment, runs = self.params.experiments[name], self._runs(name)
        section = self.cases[name][None].section
        mixes = {mix: section.sft_mixes[mix].model_dump(mode="json") for mix in experiment.sft_mixes if mix != NO_SFT}
        for mix in mixes.values():
            mix["problems"] = mix["problems"] or section.sft_problems.model_dump(mode="json")
        variants = {
            run.variant: VariantSettings(
                task_name=case.task, task=case.settings, sft=case.params.sft, rl=case.params.rl
            )
            for run, case in runs
        }
        config = MeasuresStage(
            task_name=experiment.task,
            runs=[run for run, _ in runs],
            variants=variants,
            sft_mixes=mixes,
            rl_problems={each: section.rl_problems[each].model_dump(mode="json") for each in experiment.rl_problems},
            statistics=self.params.statistics,
            alarms=self.params.alarms,
        )
        inputs = {}
        for run, case in runs:
            labels = self.labels(case, run)
            evaluation = labels.inputs["evaluation"]
            inputs |= {f"labels/{run.name}": labels, f"evaluation/{run.name}": evaluation}
            inputs[f"policy/{run.name}"] = evaluation.inputs["policy"]
        return self.add("measures", name, config, inputs)

    def _verdicts(
        self, slug: str, claims: dict[str, Claim], only: int | None = None, experiments: Iterable[str] | None = None
    ) -> Artifact:
        """Plan the tests of claims on all seeds of their experiments, or on one; of all experiments, or some."""
        can = {name: claim for name, claim in claims.items() if self.can_run(claim)}
        can = {name: claim for name, claim in can.items() if experiments is None or claim.experiment in experiments}
        inputs, seeds, tasks = {}, {}, {}
        for name in sorted({claim.experiment for claim in can.values()}):
            runs = [run for run, _ in self._runs(name) if only in (None, run.seed)]
            seeds[name] = list(dict.fromkeys(run.seed for run in runs))
            tasks[name] = TaskOfExperiment(task_name=self.params.experiments[name].task)
            for run in runs:
                sources = self.measures[name].inputs
                inputs[f"labels/{name}/{run.name}"] = sources[f"labels/{run.name}"]
                if run.training == "sft" and run.sft != NO_SFT:
                    inputs[f"sft/{name}/{run.name}"] = sources[f"policy/{run.name}"]
        config = VerdictsStage(
            scale=self.params.scale,
            claims={name: claim.model_dump(mode="json") for name, claim in claims.items()},
            run=list(can),
            seeds=seeds,
            tasks=tasks,
            statistics=self.params.statistics,
        )
        return self.add("verdicts", slug, config, inputs)

    def _verdicts_by_seed(self, exhibit: Exhibit) -> dict[str, Artifact]:
        """Plan the tests on each seed and on all: of every claim, or of another experiment's on this one's models."""
        if exhibit.claims == ALL_CLAIMS:
            name, claims = "claims", self.claims
        else:
            name = exhibit.experiment
            claims = {
                key: claim.model_copy(update={"experiment": name})
                for key, claim in self.claims.items()
                if claim.experiment == exhibit.claims
            }
        seeds = {key: self._seeds(claim.experiment) for key, claim in claims.items()}
        found = {}
        for seed in dict.fromkeys(chain.from_iterable(seeds.values())):
            of_seed = {key: claim for key, claim in claims.items() if seed in seeds[key]}
            found[f"verdicts/{seed}"] = self._verdicts(f"{name}-s{seed}", of_seed, seed)
        return found | {"verdicts/all": self._verdicts(name, claims)}

    def can_run(self, claim: Claim) -> bool:
        """Tell whether the params have everything that a claim's tests name."""
        return can_run(claim, self.params.scale, self.cases.get(claim.experiment, {}))

    def _exhibit(self, name: str, exhibit: Exhibit) -> Artifact:
        notebook = notebook_path(exhibit.notebook or name)
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
        verdicts = self._verdicts_by_seed(exhibit) if exhibit.claims else {}
        return self.add("exhibits", name, config, {"measures": self.measures[exhibit.experiment]} | verdicts)
