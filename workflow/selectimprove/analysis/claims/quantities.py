"""The quantities that claims are about, estimated from labels with their bootstrap draws."""

import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.analysis.claims import Claim, Quantity
from selectimprove.analysis.claims.judging import Outcome, judge_difference
from selectimprove.analysis.mechanisms import Behaviour, find_openings, split_change
from selectimprove.analysis.stats import bootstrap_weights
from selectimprove.config.stages import VerdictsStage
from selectimprove.tasks.interface import Task, load_task

LAST_STEPS = 25
"""RL steps at the end of training whose rollouts count as its outcome."""
ROLLOUTS = "rollouts"
"""The name of the rollouts of RL where a problem set is named."""


class Labels:
    """The labels of all models that the claims name. A model is (experiment, variant, mix, training, seed)."""

    def __init__(self, config: VerdictsStage, inputs: dict[str, Path]):
        self.config, self.inputs = config, inputs
        # Many tests use the same numbers.
        self.rows, self.counts, self.resample = cache(self.rows), cache(self.counts), cache(self.resample)

    def task(self, model: tuple) -> Task:
        return load_task(self.config.tasks[model[0]].task_name)

    def rows(self, model: tuple, problem_set: str, table: str = "generations") -> pd.DataFrame:
        """Read the labels of a model at the end of its training; for rollouts, those of all RL steps."""
        folder = self.inputs[f"labels/{'/'.join(map(str, model))}"]
        columns = ["problem_id", "problem_type", self.task(model).Settings.difficulty, "strategy", "correct"]
        if problem_set == ROLLOUTS:
            return pd.read_parquet(folder / "rollouts.parquet", columns=[*columns, "step"])
        columns += ["problem_set", "rl_step", "completion"] + (["told", "greedy"] if table == "interventions" else [])
        rows = pd.read_parquet(folder / f"{table}.parquet", columns=columns)
        return rows[(rows["problem_set"] == problem_set) & (rows["rl_step"] == rows["rl_step"].max())]

    def counts(self, model: tuple, problem_set: str) -> pd.DataFrame:
        """Count by (problem_type, problem_id, difficulty); columns are (``used`` or ``passed``, strategy)."""
        rows = self.rows(model, problem_set)
        if problem_set == ROLLOUTS:
            rows = rows[rows["step"] > rows["step"].max() - LAST_STEPS]
        keys = ["problem_type", "problem_id", self.task(model).Settings.difficulty, "strategy"]
        counts = rows.groupby(keys)["correct"].agg(used="size", passed="sum")
        columns = pd.MultiIndex.from_product([["used", "passed"], self.task(model).label_strategies])
        return counts.unstack("strategy", fill_value=0).reindex(columns=columns, fill_value=0)

    def test_sets(self, model: tuple) -> list[str]:
        """Name the sets of test problems that a model answered."""
        path = self.inputs[f"labels/{'/'.join(map(str, model))}"] / "generations.parquet"
        return list(pd.read_parquet(path, columns=["problem_set"])["problem_set"].unique())

    def log_cross_entropy(self, model: tuple) -> float:
        """Return the logarithm of the cross-entropy on the validation problems after the last epoch of SFT."""
        log = pd.read_parquet(self.inputs[f"sft/{'/'.join(map(str, model))}"] / "training.parquet")
        validated = log.dropna(subset="eval_loss").sort_values("step")
        return float(np.log(validated["eval_loss"].iloc[-1]))

    def split(self, model: tuple, problem_set: str, problem_type: str) -> tuple[dict[str, np.ndarray], int]:
        """Split the change by RL on a problem type; return the draws of each part, and the number of problems."""
        openings = self.task(model).openings
        sides, problems = [], None
        for training in ("sft", model[3]):
            own = (*model[:3], training, model[4])
            tables = (self.rows(own, problem_set), self.rows(own, problem_set, "interventions"))
            rows, told = (table[table["problem_type"] == problem_type] for table in tables)
            if problems is None:
                columns = ["problem_id", self.task(model).Settings.difficulty]
                problems = pd.MultiIndex.from_frame(told[columns].drop_duplicates().sort_values("problem_id"))
            rows = rows.assign(strategy=find_openings(rows["completion"], openings))
            sides.append(Behaviour.of(rows, told, [*openings], problems.get_level_values("problem_id")))
        weights = self.resample((model[4], problem_set, problem_type), tuple(problems))
        return split_change(weights, *sides), len(problems)

    def resample(self, of: tuple, problems: tuple[tuple, ...]) -> np.ndarray:
        """Return how often each problem counts: once in the first row, which is the estimate; drawn in all others.

        A problem's last entry is its stratum. The problems of one set, `of`, are resampled alike for every model.
        """
        strata = np.array([problem[-1] for problem in problems])
        seed = zlib.crc32(repr((of, problems)).encode())
        return np.vstack([np.ones_like(strata), bootstrap_weights(strata, self.config.statistics.n_bootstrap, seed)])


def measure(quantity: Quantity, experiment: str, seed: int, labels: Labels) -> tuple[np.ndarray, int]:
    """Return the estimate of a quantity for one seed, followed by its bootstrap draws, and the number of problems.

    Problem types have equal weights, except in rollouts, where they have the shares that RL drew. A cross-entropy has
    no draws and 0 problems, because the losses of single problems are not kept.
    """
    model = (experiment, quantity.variant, quantity.sft, quantity.training, seed)
    task = labels.task(model)
    if quantity.value == "cross_entropy":
        return np.array([labels.log_cross_entropy(model)]), 0
    if quantity.value == "rollouts_excess":
        table = labels.counts(model, ROLLOUTS)
        weights, used = labels.resample((seed, ROLLOUTS), tuple(table.index)), table["used"]
        of_type = table.index.get_level_values("problem_type") == task.Settings.problem_types[0]
        excess = used[task.suited[task.Settings.problem_types[0]]] - used.sum(axis=1) * of_type
        return weights @ excess.to_numpy() / (weights @ used.sum(axis=1).to_numpy()), len(table)
    types = task.Settings.problem_types if quantity.problem_type == "all" else (quantity.problem_type,)
    parts, n_problems = [], 0
    for problem_type in types:
        if quantity.is_mechanism:
            split, n = labels.split(model, quantity.problem_set, problem_type)
            parts.append(split[quantity.value])
            n_problems += n
            continue
        table = labels.counts(model, quantity.problem_set).xs(problem_type, drop_level=False)
        for name, value in quantity.where.items():
            table = table[table.index.get_level_values(name) == value]
        weights, used = labels.resample((seed, quantity.problem_set), tuple(table.index)), table["used"]
        counted = table["passed"].sum(axis=1) if quantity.value == "pass_at_1" else used[quantity.value]
        parts.append(weights @ counted.to_numpy() / (weights @ used.sum(axis=1).to_numpy()))
        n_problems += len(table)
    return np.mean(parts, axis=0), n_problems


def run_tests(claim: Claim, seeds: list[int], labels: Labels, confidence: float) -> list[Outcome]:
    """Run all tests of a claim."""
    outcomes = []
    for test in claim.tests:
        differences, n_problems = [], 0
        for seed in seeds:
            left, n_left = measure(test.of, claim.experiment, seed, labels)
            right = test.less
            if isinstance(right, Quantity):
                right, _ = measure(right, claim.experiment, seed, labels)
            differences.append(left - right)
            n_problems += n_left
        outcomes.append(judge_difference(test, differences, n_problems, confidence))
    return outcomes
