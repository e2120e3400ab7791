"""The quantities that claims are about, estimated from raw generations with their bootstrap draws."""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.analysis.claims import Claim, Quantity, describe_where
from selectimprove.analysis.mechanisms import split_change
from selectimprove.analysis.stats import bootstrap_weights
from selectimprove.config.stages import VerdictsStage
from selectimprove.stages.verdicts.judging import Outcome, judge_difference
from selectimprove.tasks.interface import load_aspect

LAST_STEPS = 25
"""RL steps at the end of training whose rollouts count as its outcome."""


class Generations:
    """Counts of used and passed strategies, per problem, of every model that the claims ask for.

    Parameters
    ----------
    config : VerdictsStage
    inputs : dict of str to Path
        ``evaluation/…``, ``problems/…`` and ``rollouts/…`` by experiment, variant and model.
    """

    def __init__(self, config: VerdictsStage, inputs: dict[str, Path]):
        self.config, self.inputs = config, inputs
        self.counted: dict[tuple, pd.DataFrame] = {}
        self.weights: dict[tuple, np.ndarray] = {}

    def difficulty(self, experiment: str, variant: str) -> str:
        return self.config.tasks[experiment][variant].task.difficulty

    def strategies(self, experiment: str, variant: str) -> tuple[str, ...]:
        return load_aspect(self.config.tasks[experiment][variant].task_name, "labels").STRATEGIES

    def problem_types(self, experiment: str, variant: str) -> tuple[str, ...]:
        return self.config.tasks[experiment][variant].task.problem_types

    def counts(
        self, experiment: str, variant: str, sft: str, training: str, seed: int, problem_set: str
    ) -> pd.DataFrame:
        """Count by problem; index (problem_type, problem_id, difficulty), columns (``used`` or ``passed``, strategy)."""
        key = (experiment, variant, sft, training, seed, problem_set)
        if key not in self.counted:
            model = f"{experiment}/{variant}/{sft}/{training}/{seed}"
            if problem_set == "rollouts":
                rows = pd.read_parquet(self.inputs[f"rl/{model}"] / "rollouts.parquet")
                rows = rows[rows["step"] > rows["step"].max() - LAST_STEPS]
            else:
                rows = pd.read_parquet(self.inputs[f"evaluation/{model}"] / "generations.parquet")
                rows = rows[(rows["problem_set"] == problem_set) & (rows["rl_step"] == rows["rl_step"].max())]
            task = self.config.tasks[experiment][variant]
            from_row, label = (
                load_aspect(task.task_name, "problems").from_row,
                load_aspect(task.task_name, "labels").label,
            )
            table = pd.read_parquet(self.inputs[f"problems/{model}/{problem_set}"] / "problems.parquet")
            problems = list(map(from_row, table.to_dict("records")))
            asked = [problems[number] for number in rows["problem_id"]]
            pairs = zip(asked, rows["completion"], strict=True)
            labels = [label(task.task, problem, completion) for problem, completion in pairs]
            difficulty = self.difficulty(experiment, variant)
            table = pd.DataFrame(
                {
                    "problem_type": [problem.problem_type for problem in asked],
                    "problem_id": rows["problem_id"].to_numpy(),
                    difficulty: [getattr(problem, difficulty) for problem in asked],
                    "strategy": [label["strategy"] for label in labels],
                    "passed": [label["correct"] for label in labels],
                }
            )
            keys = ["problem_type", "problem_id", difficulty, "strategy"]
            counts = table.groupby(keys)["passed"].agg(used="size", passed="sum").unstack("strategy", fill_value=0)
            columns = pd.MultiIndex.from_product([["used", "passed"], self.strategies(experiment, variant)])
            self.counted[key] = counts.reindex(columns=columns, fill_value=0)
        return self.counted[key]

    def resampled(self, table: pd.DataFrame, of: tuple) -> tuple[np.ndarray, np.ndarray]:
        """Sum used and passed over problems: first as they are, then in each bootstrap resample of the problems.

        The problems are a part of those that `of` names: (seed, steps).
        """
        problems = table.index
        key = (of, tuple(problems))
        if key not in self.weights:
            strata = problems.get_level_values(-1).to_numpy()
            # The same problems are resampled alike, whichever model answered them, and other problems otherwise.
            drawn = bootstrap_weights(strata, self.config.statistics.n_bootstrap, zlib.crc32(repr(key).encode()))
            self.weights[key] = np.vstack([np.ones_like(strata), drawn])
        return self.weights[key] @ table["used"].to_numpy(), self.weights[key] @ table["passed"].to_numpy()


def measure(quantity: Quantity, experiment: str, seed: int, generations: Generations) -> tuple[np.ndarray, int]:
    """Estimate a quantity for one seed.

    Returns
    -------
    draws : array of shape (1 + n_bootstrap,)
        The estimate, then its bootstrap draws over problems. All problem types weigh the same in ``all``, but in rollouts,
        where they come as RL drew them.
    n_problems : int
    """
    place = (experiment, quantity.variant)
    model = (*place, quantity.sft, quantity.training, seed)
    strategies = generations.strategies(*place)
    if quantity.value == "rollouts_forward":
        table = generations.counts(*model, "rollouts")
        used, _ = generations.resampled(table, (seed, "rollouts"))
        return used[:, strategies.index("forward")] / used.sum(axis=1), len(table)
    types = generations.problem_types(*place) if quantity.problem_type == "all" else (quantity.problem_type,)
    parts, n_problems = [], 0
    for problem_type in types:

        def counts(model: tuple, problem_type: str = problem_type) -> pd.DataFrame:
            table = generations.counts(*model, quantity.problem_set).xs(problem_type, drop_level=False)
            for name, value in quantity.where.items():
                table = table[table.index.get_level_values(name) == value]
            return table

        table = counts(model)
        used, passed = generations.resampled(table, (seed, quantity.problem_set))
        n_problems += len(table)
        if quantity.value == "pass_at_1":
            parts.append(passed.sum(axis=1) / used.sum(axis=1))
        elif quantity.value in strategies:
            parts.append(used[:, strategies.index(quantity.value)] / used.sum(axis=1))
        else:
            start = generations.resampled(counts((*model[:3], "sft", seed)), (seed, quantity.problem_set))
            selection, improvement = split_change(*start, used, passed)
            parts.append(selection if quantity.value == "selection" else improvement)
    return np.mean(parts, axis=0), n_problems


def run_tests(claim: Claim, seeds: list[int], generations: Generations, confidence: float) -> list[Outcome]:
    """Run all tests of a claim."""
    outcomes = []
    for test in claim.tests:
        differences, n_problems = [], 0
        for seed in seeds:
            left, n_left = measure(test.of, claim.experiment, seed, generations)
            right = test.less
            if isinstance(right, Quantity):
                right, _ = measure(right, claim.experiment, seed, generations)
            differences.append(left - right)
            n_problems += n_left
        outcomes.append(judge_difference(test, differences, n_problems, confidence))
    return outcomes


def describe(test) -> str:
    """Write a test as people read it."""

    def side(quantity):
        if not isinstance(quantity, Quantity):
            return f"{quantity:g}"
        problems = describe_where(quantity) or quantity.problem_set
        parts = [quantity.value, quantity.sft, quantity.training, quantity.variant, quantity.problem_type, problems]
        return " ".join(part for part in parts if part not in ("default", "all"))

    bound = next(
        f"{name} {value:g}" for name in ("above", "below", "within") if (value := getattr(test, name)) is not None
    )
    return f"{side(test.of)} − {side(test.less)} {bound}"
