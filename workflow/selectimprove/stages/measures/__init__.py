"""Measures: everything that the figures and tables of an experiment show, computed from labels.

Writes, with `variant`, `sft`, `training` and `seed` naming the model, and ``pooled`` for all seeds together; the difficulty is `n_steps` for chains and
`n_parts` for compositions:

``pass_rates.parquet``
    pass@1 and pass@k by checkpoint, problem set (`step_range`), problem type and difficulty, each also ``all`` together.
``strategies.parquet``
    Share and pass rate of each strategy by checkpoint, problem set and problem type.
``interventions.parquet``
    pass@1 of models after SFT and at the end of RL, by problem set and problem type, `greedy` or not and `told` a strategy or none.
``mechanisms.parquet``
    The change in pass@1 from before RL to its end by problem set and problem type, split into selection and improvement, and improvement into
    sharpening and capability. Empty where no strategy is told.
``first_errors.parquet``
    Share of the generations by what first goes wrong, by checkpoint, problem set, problem type and difficulty.
``rewards.parquet``
    Mean reward, shares of the strategies and length of the rollouts by RL step, problem type and difficulty.
``training.parquet``
    What the trainers logged: cross-entropies of SFT; KL divergence, gradient norm and more of RL.
``models.parquet``
    The folders of each model's weights (`policy`) and of its `generations`, from which all numbers about it are computed.

Intervals are over problems: pooled ones too speak of these models on other problems, not of other seeds.
"""

from pathlib import Path

import pandas as pd

from selectimprove.config.stages import MeasuresStage, Run
from selectimprove.stages.measures.interventions import measure_interventions, measure_mechanisms
from selectimprove.stages.measures.pass_rates import measure_first_errors, measure_pass_rates, measure_rewards
from selectimprove.stages.measures.strategies import measure_strategies, strategy_counts
from selectimprove.tasks.interface import load_aspect


def read_runs(runs: list[Run], inputs: dict[str, Path], role: str, table: str) -> pd.DataFrame:
    """Read one table of all runs that have it, each row naming its model."""
    tables = []
    for run in runs:
        path = inputs[f"{role}/{run.name}"] / f"{table}.parquet"
        if path.exists():
            model = run.model_dump() | {"seed": str(run.seed)}
            tables.append(pd.read_parquet(path).assign(**model))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def name_folders(runs: list[Run], inputs: dict[str, Path]) -> pd.DataFrame:
    """Name each model's artifacts as ``results/evaluation/FB-…``, wherever they lie."""
    roles = {"policy": "policy", "generations": "evaluation"}
    return pd.DataFrame(
        run.model_dump()
        | {"seed": str(run.seed)}
        | {column: "/".join(inputs[f"{role}/{run.name}"].parts[-3:]) for column, role in roles.items()}
        for run in runs
    )


def measure_experiment(config: MeasuresStage, inputs: dict[str, Path], folder: Path) -> None:
    """Measure the runs of an experiment, whose labels, generations and trained models are the inputs."""
    task = load_aspect(config.task_name, "labels")
    difficulty = load_aspect(config.task_name, "settings").Settings.difficulty
    generations = read_runs(config.runs, inputs, "labels", "generations")
    rollouts = read_runs(config.runs, inputs, "labels", "rollouts")
    interventions = read_runs(config.runs, inputs, "labels", "interventions")
    openings = load_aspect(config.task_name, "problems").OPENINGS
    counts = strategy_counts(generations, difficulty, task.STRATEGIES)
    told = not interventions.empty and bool(openings)
    tables = {
        "pass_rates": measure_pass_rates(generations, difficulty, config.statistics),
        "strategies": measure_strategies(counts, config.statistics),
        "interventions": pd.DataFrame()
        if interventions.empty
        else measure_interventions(interventions, config.statistics),
        "mechanisms": measure_mechanisms(generations, interventions, difficulty, openings, config.statistics)
        if told
        else pd.DataFrame(),
        "first_errors": measure_first_errors(generations, difficulty, task.FIRST_ERRORS),
        "rewards": measure_rewards(rollouts, difficulty, task.STRATEGIES),
        "training": read_runs(config.runs, inputs, "policy", "training"),
        "models": name_folders(config.runs, inputs),
    }
    for name, measured in tables.items():
        measured.to_parquet(folder / f"{name}.parquet", index=False)
