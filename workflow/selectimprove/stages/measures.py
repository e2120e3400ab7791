"""Measures: the tables behind the figures and tables of an experiment, computed from labels and training logs.

The columns `variant`, `sft`, `training` and `seed` name the model; the seed ``pooled`` stands for all seeds together,
and so does ``all`` for problem types and difficulties (`n_steps`, for compositions `n_parts`). Writes:

- ``pass_rates.parquet``: pass@1 and pass@k by checkpoint, problem set, problem type and difficulty;
- ``strategies.parquet``: share and pass rate of each strategy by checkpoint, problem set and problem type;
- ``interventions.parquet``: pass@1 by checkpoint, problem set, problem type, `greedy` decoding and `told` strategy;
- ``mechanisms.parquet``: the change in pass@1 by RL, by problem set and type, split into selection and improvement, and
  improvement into sharpening and capability; empty if no strategy is told;
- ``first_errors.parquet``: shares of first errors by checkpoint, problem set, problem type and difficulty;
- ``rewards.parquet``: mean reward, strategies and length of the rollouts by RL step, problem type and difficulty;
- ``training.parquet``: the logs of SFT and RL, and the strategies of rollouts (columns: ``workflow/docs/design.md``);
- ``alarms.csv``: stretches of steps at which a training was past one of the bounds in the params, with a message;
- ``models.parquet``: the folders of each model's weights (`policy`) and of its `generations`.

Intervals are over problems: they hold for these models on other problems, and not for other seeds.
"""

import logging
from pathlib import Path

import pandas as pd

from selectimprove.analysis.estimates import (
    measure_first_errors,
    measure_interventions,
    measure_mechanisms,
    measure_pass_rates,
    measure_rewards,
    measure_strategies,
)
from selectimprove.analysis.training_logs import COLUMNS, find_alarms, measure_training, read_logs
from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import MeasuresStage, Run
from selectimprove.tasks.interface import load_task

LOG = logging.getLogger(__name__)


def measure_experiment(config: MeasuresStage, inputs: dict[str, Path], folder: Path) -> None:
    """Measure the runs of an experiment; their labels, generations and trained models are the inputs."""
    logs = read_logs(config.runs, inputs)
    alarms = [run.model_dump() | alarm for run, log in logs for alarm in find_alarms(log, config.alarms)]
    for alarm in alarms:
        LOG.warning("alarm: {variant}/{sft}/{training}/{seed}: {says}".format(**alarm))
    pd.DataFrame(alarms, columns=COLUMNS).to_csv(folder / "alarms.csv", index=False)
    generations, rollouts, interventions = (
        read_labels(config.runs, inputs, table) for table in ("generations", "rollouts", "interventions")
    )
    task, statistics = load_task(config.task_name), config.statistics
    difficulty, strategies = task.Settings.difficulty, task.label_strategies
    tables = {
        "pass_rates": measure_pass_rates(generations, difficulty, statistics),
        "strategies": measure_strategies(generations, difficulty, strategies, statistics),
        "interventions": measure_interventions(interventions, statistics),
        "mechanisms": measure_mechanisms(generations, interventions, difficulty, task.openings, statistics),
        "first_errors": measure_first_errors(generations, difficulty, task.first_errors),
        "rewards": measure_rewards(rollouts, difficulty, strategies),
        "training": measure_training(logs, rollouts, strategies),
        "models": name_folders(config.runs, inputs),
    }
    for name, measured in tables.items():
        measured.to_parquet(folder / f"{name}.parquet", index=False)


def read_labels(runs: list[Run], inputs: dict[str, Path], table: str) -> pd.DataFrame:
    """Read one table of labels for all runs that have it; each row names its model."""
    tables = []
    for run in runs:
        path = inputs[f"labels/{run.name}"] / f"{table}.parquet"
        if path.exists():
            tables.append(pd.read_parquet(path).assign(**run.model_dump() | {"seed": str(run.seed)}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def name_folders(runs: list[Run], inputs: dict[str, Path]) -> pd.DataFrame:
    """Name each model's artifacts by their last folders, ``results/evaluation/FB-…``."""
    roles = {"policy": "policy", "generations": "evaluation"}
    return pd.DataFrame(
        run.model_dump()
        | {"seed": str(run.seed)}
        | {column: "/".join(inputs[f"{role}/{run.name}"].parts[-3:]) for column, role in roles.items()}
        for run in runs
    )


if __name__ == "__main__":
    run_stage(MeasuresStage, measure_experiment)
