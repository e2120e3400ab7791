"""The plan of an experiment on compositions: SFT, RL and evaluation as everywhere, on sets and from a base of its own.

::

    compositions ──────────────> sft ──> rl ──> evaluation ──> composition_labels ──> composition_measures
    base ──> composition_base ──┘
"""

from selectimprove.config import (
    CompositionBaseStage,
    CompositionExperiment,
    CompositionMeasureStage,
    CompositionsStage,
    LabelStage,
    Params,
    Run,
)
from selectimprove.params import resolve_params

TEST = "test"
"""The role of the test set, whose problems have all numbers of parts."""


def plan_compositions(plan, name: str):
    """Plan all models of an experiment on compositions.

    Parameters
    ----------
    plan : Plan
        It is given the artifacts.
    name : str
        A key of ``compositions`` in the params.

    Returns
    -------
    Artifact
        The measures.
    """
    params, experiment = _resolved(plan, name)
    runs = composition_runs(params, name)
    inputs = {f"labels/{run.name}": plan_labels(plan, name, run) for run in runs}
    config = CompositionMeasureStage(
        runs=runs,
        sft_parts=experiment.sft_parts,
        rl_parts=experiment.rl_parts,
        task=params.task,
        statistics=params.statistics,
    )
    return plan.add("composition_measures", name, config, inputs)


def composition_runs(params, name: str) -> list[Run]:
    """List the models of an experiment on compositions."""
    experiment = params.compositions[name]
    return [
        Run(variant="default", sft=sft, training=training, seed=seed)
        for seed in params.seeds
        for sft in experiment.sft_parts
        for training in ("sft", *experiment.rl_parts)
    ]


def plan_labels(plan, name: str, run: Run):
    """Plan the labels of a model's generations, and of its rollouts if it was trained by RL."""
    params, experiment = _resolved(plan, name)
    slug = f"{run.sft}-{name}-{run.training}-s{run.seed}"
    policy = plan_policy(plan, name, run)
    test = _set(plan, name, "test", experiment.n_problems, experiment.test_parts, run.seed)
    inputs = {"evaluation": plan.evaluation(params, slug, run.seed, policy, {TEST: test}), TEST: test}
    if run.training != "sft":
        inputs |= {"rl": policy, "rollouts": policy.inputs["problems"]}
    return plan.add("composition_labels", slug, LabelStage(task=params.task), inputs)


def plan_policy(plan, name: str, run: Run):
    """Plan the model of a run."""
    (params, experiment), seed = _resolved(plan, name), run.seed
    parts = experiment.sft_parts[run.sft]
    inputs = {
        "base": _base(plan, name, seed),
        "train": _set(plan, name, "sft_train", params.sft.n_train, parts, seed),
        "validation": _set(plan, name, "sft_validation", params.sft.n_validation, parts, seed),
    }
    sft = plan.sft(params, f"{run.sft}-{name}-s{seed}", seed, inputs)
    if run.training == "sft":
        return sft
    problems = _set(plan, name, "rl", params.rl.n_prompts, experiment.rl_parts[run.training], seed)
    slug = f"{run.sft}-{name}-{run.training}-s{seed}"
    return plan.rl(params, slug, seed, sft, problems)


def _resolved(plan, name: str) -> tuple[Params, CompositionExperiment]:
    """Return the experiment, and the params with its overrides."""
    return resolve_params(plan.params, name), plan.params.compositions[name]


def _base(plan, name: str, seed: int):
    params, experiment = _resolved(plan, name)
    if experiment.base is None:
        return plan.base(params, seed)
    settings = experiment.base.model_dump(exclude={"part_continue"})
    config = CompositionBaseStage(
        seed=seed,
        task=params.task,
        base=params.base.model_copy(update=settings),
        parts=experiment.test_parts,
        part_steps=experiment.part_steps,
        part_continue=experiment.base.part_continue,
        optimizer=params.optimizer,
    )
    return plan.add("composition_base", f"{name}-s{seed}", config, {"base": plan.base(params, seed)})


def _set(plan, name: str, split: str, n_problems: int, parts: tuple[int, int], seed: int):
    params, experiment = _resolved(plan, name)
    config = CompositionsStage(
        seed=seed,
        task=params.task,
        split=split,
        n_problems=n_problems,
        parts=parts,
        part_steps=experiment.part_steps,
    )
    return plan.add("compositions", f"{name}-{split}-{parts[0]}to{parts[1]}-s{seed}", config)
