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
    What the trainers logged at each step, of SFT and of RL, and the shares of the strategies among its rollouts; ``workflow/docs/design.md``
    says what each column is.
``alarms.csv``
    Stretches of steps at which a training was past one of the bounds in the params, with a line that says so.
``models.parquet``
    The folders of each model's weights (`policy`) and of its `generations`, from which all numbers about it are computed.

Intervals are over problems: pooled ones too speak of these models on other problems, not of other seeds.
"""

import logging
from pathlib import Path

import pandas as pd

from selectimprove.config.stages import MeasuresStage, Run
from selectimprove.stages.measures.alarms import COLUMNS, find_alarms, require_finite_end
from selectimprove.stages.measures.interventions import measure_interventions, measure_mechanisms
from selectimprove.stages.measures.pass_rates import measure_first_errors, measure_pass_rates, measure_rewards
from selectimprove.stages.measures.strategies import measure_strategies, strategy_counts
from selectimprove.stages.measures.training import measure_training, read_log
from selectimprove.tasks.interface import load_task

LOG = logging.getLogger(__name__)


def read_labels(runs: list[Run], inputs: dict[str, Path], table: str) -> pd.DataFrame:
    """Read one table of the labels of all runs that have it, each row naming its model."""
    tables = []
    for run in runs:
        path = inputs[f"labels/{run.name}"] / f"{table}.parquet"
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


def read_logs(runs: list[Run], inputs: dict[str, Path]) -> list[tuple[Run, pd.DataFrame]]:
    """Read the trainers' logs of all runs that were trained here.

    Raises
    ------
    ParamsError
        If a training broke down.
    """
    logs = []
    for run in runs:
        path = inputs[f"policy/{run.name}"] / "training.parquet"
        if path.exists():
            logs.append((run, read_log(path)))
            require_finite_end(logs[-1][1], run.name, path)
    return logs


def measure_experiment(config: MeasuresStage, inputs: dict[str, Path], folder: Path) -> None:
    """Measure the runs of an experiment, whose labels, generations and trained models are the inputs."""
    task = load_task(config.task_name)
    logs = read_logs(config.runs, inputs)
    alarms = [run.model_dump() | alarm for run, log in logs for alarm in find_alarms(log, config.alarms)]
    for alarm in alarms:
        LOG.warning("alarm: {variant}/{sft}/{training}/{seed}: {says}".format(**alarm))
    pd.DataFrame(alarms, columns=COLUMNS).to_csv(folder / "alarms.csv", index=False)
    difficulty = load_task(config.task_name).Settings.difficulty
    generations = read_labels(config.runs, inputs, "generations")
    rollouts = read_labels(config.runs, inputs, "rollouts")
    interventions = read_labels(config.runs, inputs, "interventions")
    openings = load_task(config.task_name).openings
    counts = strategy_counts(generations, difficulty, task.label_strategies)
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
        "first_errors": measure_first_errors(generations, difficulty, task.first_errors),
        "rewards": measure_rewards(rollouts, difficulty, task.label_strategies),
        "training": measure_training(logs, rollouts, task.label_strategies),
        "models": name_folders(config.runs, inputs),
    }
    for name, measured in tables.items():
        measured.to_parquet(folder / f"{name}.parquet", index=False)
