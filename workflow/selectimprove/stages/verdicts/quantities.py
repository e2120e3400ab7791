"""The quantities that claims are about, estimated from raw generations with their bootstrap draws."""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.analysis.claims import Claim, Quantity, describe_where
from selectimprove.analysis.mechanisms import Behaviour, find_openings, split_change
from selectimprove.analysis.stats import bootstrap_weights
from selectimprove.config.stages import VerdictsStage
from selectimprove.stages.verdicts.judging import Outcome, judge_difference
from selectimprove.tasks.interface import load_task

LAST_STEPS = 25
"""RL steps at the end of training whose rollouts count as its outcome."""


class Generations:
    """Counts of used and passed strategies, per problem, of every model that the claims ask for.

    Parameters
    ----------
    config : VerdictsStage
    inputs : dict of str to Path
        ``evaluation/…``, ``problems/…``, ``rl/…`` and ``sft/…`` by experiment, variant and model.
    """

    def __init__(self, config: VerdictsStage, inputs: dict[str, Path]):
        self.config, self.inputs = config, inputs
        self.rows: dict[tuple, pd.DataFrame] = {}
        self.counted: dict[tuple, pd.DataFrame] = {}
        self.weights: dict[tuple, np.ndarray] = {}

    def difficulty(self, experiment: str, variant: str) -> str:
        return self.config.tasks[experiment][variant].task.difficulty

    def strategies(self, experiment: str, variant: str) -> tuple[str, ...]:
        return load_task(self.config.tasks[experiment][variant].task_name).label_strategies

    def problem_types(self, experiment: str, variant: str) -> tuple[str, ...]:
        return self.config.tasks[experiment][variant].task.problem_types

    def labeled(self, model: tuple, problem_set: str, table: str = "generations") -> pd.DataFrame:
        """Label the rows of a model, (experiment, variant, mix, training, seed), at the end of its training.

        Returns
        -------
        pandas.DataFrame
            The rows, of all RL steps where they are rollouts, with `problem_type`, the difficulty, `strategy` and `correct`.
        """
        key = (*model, problem_set, table)
        if key not in self.rows:
            name = "/".join(map(str, model))
            if problem_set == "rollouts":
                rows = pd.read_parquet(self.inputs[f"rl/{name}"] / "rollouts.parquet")
            else:
                rows = pd.read_parquet(self.inputs[f"evaluation/{name}"] / f"{table}.parquet")
                rows = rows[(rows["problem_set"] == problem_set) & (rows["rl_step"] == rows["rl_step"].max())]
            task = self.config.tasks[model[0]][model[1]]
            from_row = load_task(task.task_name).from_row
            label = load_task(task.task_name).label
            drawn = pd.read_parquet(self.inputs[f"problems/{name}/{problem_set}"] / "problems.parquet")
            problems = list(map(from_row, drawn.to_dict("records")))
            asked = [problems[number] for number in rows["problem_id"]]
            labels = [label(task.task, p, text) for p, text in zip(asked, rows["completion"], strict=True)]
            of_problem = {name: [getattr(p, name) for p in asked] for name in ("problem_type", task.task.difficulty)}
            of_label = {name: [one[name] for one in labels] for name in ("strategy", "correct")}
            self.rows[key] = rows.assign(**of_problem, **of_label)
        return self.rows[key]

    def counts(self, model: tuple, problem_set: str) -> pd.DataFrame:
        """Count by problem; index (problem_type, problem_id, difficulty), columns (``used`` or ``passed``, strategy)."""
        key = (*model, problem_set)
        if key not in self.counted:
            keys = ["problem_type", "problem_id", self.difficulty(*model[:2]), "strategy"]
            rows = self.labeled(model, problem_set)
            if problem_set == "rollouts":
                rows = rows[rows["step"] > rows["step"].max() - LAST_STEPS]
            counts = rows.groupby(keys)["correct"].agg(used="size", passed="sum")
            columns = pd.MultiIndex.from_product([["used", "passed"], self.strategies(*model[:2])])
            self.counted[key] = counts.unstack("strategy", fill_value=0).reindex(columns=columns, fill_value=0)
        return self.counted[key]

    def test_sets(self, model: tuple) -> list[str]:
        """Name the sets of test problems that a model answered."""
        place = f"problems/{'/'.join(map(str, model))}/"
        sets = [name.removeprefix(place) for name in self.inputs if name.startswith(place)]
        return [name for name in sets if name != "rollouts"]

    def log_cross_entropy(self, model: tuple) -> float:
        """Return the logarithm of the cross-entropy on the validation problems after the last epoch of SFT."""
        log = pd.read_parquet(self.inputs[f"sft/{'/'.join(map(str, model))}"] / "training.parquet")
        validated = log.dropna(subset="eval_loss").sort_values("step")
        return float(np.log(validated["eval_loss"].iloc[-1]))

    def split(self, model: tuple, problem_set: str, problem_type: str) -> tuple[dict[str, np.ndarray], int]:
        """Split the change since before RL on one type of problems; returns the draws of each part, and the number of problems."""
        openings = load_task(self.config.tasks[model[0]][model[1]].task_name).openings
        sides, problems = [], None
        for training in ("sft", model[3]):
            own = (*model[:3], training, model[4])
            tables = (self.labeled(own, problem_set), self.labeled(own, problem_set, "interventions"))
            rows, told = (table[table["problem_type"] == problem_type] for table in tables)
            if problems is None:
                columns = ["problem_id", self.difficulty(*model[:2])]
                problems = pd.MultiIndex.from_frame(told[columns].drop_duplicates().sort_values("problem_id"))
            rows = rows.assign(strategy=find_openings(rows["completion"], openings))
            sides.append(Behaviour.of(rows, told, [*openings], problems.get_level_values("problem_id")))
        return split_change(self.resample(problems, (model[4], problem_set, problem_type)), *sides), len(problems)

    def resample(self, problems: pd.MultiIndex, of: tuple) -> np.ndarray:
        """Draw how often each problem counts: first once, then in each bootstrap resample; the last level of the index is the stratum."""
        key = (of, tuple(problems))
        if key not in self.weights:
            strata = problems.get_level_values(-1).to_numpy()
            # The same problems are resampled alike, whichever model answered them, and other problems otherwise.
            drawn = bootstrap_weights(strata, self.config.statistics.n_bootstrap, zlib.crc32(repr(key).encode()))
            self.weights[key] = np.vstack([np.ones_like(strata), drawn])
        return self.weights[key]

    def resampled(self, table: pd.DataFrame, of: tuple) -> tuple[np.ndarray, np.ndarray]:
        """Sum used and passed over problems: first as they are, then in each bootstrap resample of the problems.

        The problems are a part of those that `of` names: (seed, steps).
        """
        weights = self.resample(table.index, of)
        return weights @ table["used"].to_numpy(), weights @ table["passed"].to_numpy()


def measure(quantity: Quantity, experiment: str, seed: int, generations: Generations) -> tuple[np.ndarray, int]:
    """Estimate a quantity for one seed.

    Returns
    -------
    draws : array of shape (1 + n_bootstrap,)
        The estimate, then its bootstrap draws over problems. All problem types weigh the same in ``all``, but in rollouts,
        where they come as RL drew them. A cross-entropy has no draws: problems' own losses are not kept.
    n_problems : int
        0 without draws.
    """
    place = (experiment, quantity.variant)
    model = (*place, quantity.sft, quantity.training, seed)
    if quantity.value == "cross_entropy":
        return np.array([generations.log_cross_entropy(model)]), 0
    strategies = generations.strategies(*place)
    if quantity.value == "rollouts_excess":
        table = generations.counts(model, "rollouts")
        weights, used = generations.resample(table.index, (seed, "rollouts")), table["used"]
        excess = used["forward"] - used.sum(axis=1) * (table.index.get_level_values("problem_type") == "evaluation")
        return weights @ excess.to_numpy() / (weights @ used.sum(axis=1).to_numpy()), len(table)
    types = generations.problem_types(*place) if quantity.problem_type == "all" else (quantity.problem_type,)
    parts, n_problems = [], 0
    for problem_type in types:
        if quantity.is_mechanism:
            split, n = generations.split(model, quantity.problem_set, problem_type)
            parts.append(split[quantity.value])
            n_problems += n
            continue
        table = generations.counts(model, quantity.problem_set).xs(problem_type, drop_level=False)
        for name, value in quantity.where.items():
            table = table[table.index.get_level_values(name) == value]
        used, passed = generations.resampled(table, (seed, quantity.problem_set))
        n_problems += len(table)
        if quantity.value == "pass_at_1":
            parts.append(passed.sum(axis=1) / used.sum(axis=1))
        else:
            parts.append(used[:, strategies.index(quantity.value)] / used.sum(axis=1))
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
        of_problems = describe_where(quantity) or quantity.problem_set
        problems = "validation" if quantity.value == "cross_entropy" else of_problems
        parts = [quantity.value, quantity.sft, quantity.training, quantity.variant, quantity.problem_type, problems]
        return " ".join(part for part in parts if part not in ("default", "all"))

    bound = next(
        f"{name} {value:g}" for name in ("above", "below", "within") if (value := getattr(test, name)) is not None
    )
    return f"{side(test.of)} − {side(test.less)} {bound}"
