"""The audit of claims: every claim of the paper against this run, computed from raw generations.

Rewards, strategies and their pass rates are found anew from the generations and the problems; neither labels nor measures are
read. Writes ``claims.csv``, a row a claim, and ``tests.csv``, a row a test.
"""

import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.claims import Claim, Quantity
from selectimprove.config import AuditStage
from selectimprove.datasets import field_of, read_problems
from selectimprove.labeling import LABELS, label_generation
from selectimprove.mechanisms import split_change
from selectimprove.problems import PROBLEM_TYPES
from selectimprove.reward import outcome_reward
from selectimprove.stage import run_stage
from selectimprove.stats import bootstrap_weights
from selectimprove.verdicts import Outcome, judge_difference, reach_verdicts

LAST_STEPS = 25
"""RL steps at the end of training whose rollouts count as its outcome."""


class Generations:
    """Counts of used and passed strategies, per problem, of every model that the claims ask for.

    Parameters
    ----------
    config : AuditStage
    inputs : dict of str to Path
        ``evaluation/…``, ``problems/…`` and ``rollouts/…`` by experiment, variant and model.
    """

    def __init__(self, config: AuditStage, inputs: dict[str, Path]):
        self.config, self.inputs = config, inputs
        self.counted: dict[tuple, pd.DataFrame] = {}
        self.weights: dict[tuple, np.ndarray] = {}

    def counts(self, experiment: str, variant: str, sft: str, training: str, seed: int, steps: str) -> pd.DataFrame:
        """Count by problem; index (problem_type, problem_id, n_steps), columns (``used`` or ``passed``, strategy)."""
        key = (experiment, variant, sft, training, seed, steps)
        if key not in self.counted:
            model = f"{experiment}/{variant}/{sft}/{training}/{seed}"
            if steps == "rollouts":
                rows = pd.read_parquet(self.inputs[f"rl/{model}"] / "rollouts.parquet")
                rows = rows[rows["step"] > rows["step"].max() - LAST_STEPS]
            else:
                rows = pd.read_parquet(self.inputs[f"evaluation/{model}"] / "generations.parquet")
                rows = rows[(rows["problem_set"] == steps) & (rows["rl_step"] == rows["rl_step"].max())]
            folder = self.inputs[f"problems/{model}/{steps}"]
            problems = read_problems(pd.read_parquet(folder / "problems.parquet"))
            field = field_of(self.config.tasks[experiment][variant])
            labels = [
                label_generation(field, problems[number], completion)
                for number, completion in zip(rows["problem_id"], rows["completion"], strict=True)
            ]
            table = pd.DataFrame(
                {
                    "problem_type": [problems[number].problem_type for number in rows["problem_id"]],
                    "problem_id": rows["problem_id"].to_numpy(),
                    "n_steps": [problems[number].n_steps for number in rows["problem_id"]],
                    "strategy": [label.strategy for label in labels],
                    "passed": [label.correct for label in labels],
                }
            )
            keys = ["problem_type", "problem_id", "n_steps", "strategy"]
            counts = table.groupby(keys)["passed"].agg(used="size", passed="sum").unstack("strategy", fill_value=0)
            columns = pd.MultiIndex.from_product([["used", "passed"], LABELS])
            self.counted[key] = counts.reindex(columns=columns, fill_value=0)
        return self.counted[key]

    def counts_of_parts(self, experiment: str, sft: str, training: str, seed: int, parts: int) -> pd.DataFrame:
        """Count by composition of so many parts; index (problem_id, n_steps), columns (``used`` or ``passed``, ``any``)."""
        model = f"{experiment}/default/{sft}/{training}/{seed}"
        rows = pd.read_parquet(self.inputs[f"evaluation/{model}"] / "generations.parquet")
        rows = rows[rows["rl_step"] == rows["rl_step"].max()]
        problems = pd.read_parquet(self.inputs[f"problems/{model}/test"] / "problems.parquet")
        rows = rows.merge(problems[problems["n_parts"] == parts], on="problem_id")
        passed = [outcome_reward(text, answer) for text, answer in zip(rows["completion"], rows["answer"], strict=True)]
        counts = rows.assign(passed=passed).groupby(["problem_id", "n_steps"])["passed"].agg(used="size", passed="sum")
        return counts.set_axis(pd.MultiIndex.from_product([["used", "passed"], ["any"]]), axis="columns")

    def resampled(self, table: pd.DataFrame, of: tuple) -> tuple[np.ndarray, np.ndarray]:
        """Sum used and passed over problems: first as they are, then in each bootstrap resample of the problems.

        The problems are a part of those that `of` names: (seed, steps).
        """
        problems = table.index
        key = (of, tuple(problems))
        if key not in self.weights:
            strata = problems.get_level_values("n_steps").to_numpy()
            # The same problems are resampled alike, whichever model answered them, and other problems otherwise.
            drawn = bootstrap_weights(strata, self.config.statistics.n_bootstrap, zlib.crc32(repr(key).encode()))
            self.weights[key] = np.vstack([np.ones_like(strata), drawn])
        return self.weights[key] @ table["used"].to_numpy(), self.weights[key] @ table["passed"].to_numpy()


def measure(quantity: Quantity, experiment: str, seed: int, generations: Generations) -> tuple[np.ndarray, int]:
    """Estimate a quantity for one seed.

    Returns
    -------
    draws : array of shape (1 + n_bootstrap,)
        The estimate, then its bootstrap draws over problems. Both problem types weigh the same in ``all``, but in rollouts,
        where they come as RL drew them.
    n_problems : int
    """
    if quantity.parts is not None:
        table = generations.counts_of_parts(experiment, quantity.sft, quantity.training, seed, quantity.parts)
        used, passed = generations.resampled(table, (seed, f"{quantity.parts} parts"))
        return passed.sum(axis=1) / used.sum(axis=1), len(table)
    model = (experiment, quantity.variant, quantity.sft, quantity.training, seed)
    if quantity.value == "rollouts_forward":
        table = generations.counts(*model, "rollouts")
        used, _ = generations.resampled(table, (seed, "rollouts"))
        return used[:, LABELS.index("forward")] / used.sum(axis=1), len(table)
    types = PROBLEM_TYPES if quantity.problem_type == "all" else (quantity.problem_type,)
    parts, n_problems = [], 0
    for problem_type in types:
        table = generations.counts(*model, quantity.steps).xs(problem_type, drop_level=False)
        used, passed = generations.resampled(table, (seed, quantity.steps))
        n_problems += len(table)
        if quantity.value == "pass_at_1":
            parts.append(passed.sum(axis=1) / used.sum(axis=1))
        elif quantity.value in LABELS:
            parts.append(used[:, LABELS.index(quantity.value)] / used.sum(axis=1))
        else:
            start = generations.counts(*model[:3], "sft", seed, quantity.steps).xs(problem_type, drop_level=False)
            selection, improvement = split_change(*generations.resampled(start, (seed, quantity.steps)), used, passed)
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
        problems = f"{quantity.parts} parts" if quantity.parts else quantity.steps
        parts = [quantity.value, quantity.sft, quantity.training, quantity.variant, quantity.problem_type, problems]
        return " ".join(part for part in parts if part not in ("default", "all"))

    bound = next(
        f"{name} {value:g}" for name in ("above", "below", "within") if (value := getattr(test, name)) is not None
    )
    return f"{side(test.of)} − {side(test.less)} {bound}"


def audit_claims(config: AuditStage, inputs: dict[str, Path], folder: Path) -> None:
    """Test every claim, on the generations of the models that it names."""
    claims = {name: Claim.model_validate(entry) for name, entry in config.claims.items()}
    confidence = config.statistics.confidence
    generations = Generations(config, inputs)
    outcomes: dict[str, list[Outcome]] = {
        name: run_tests(claim, config.seeds[claim.experiment], generations, confidence) if name in config.run else []
        for name, claim in claims.items()
    }
    rows, details = [], []
    for name, (verdict, p) in reach_verdicts(outcomes, confidence).items():
        claim, found = claims[name], outcomes[name]
        row = defaultdict(lambda: None, claim=name, statement=claim.statement, verdict=verdict)
        if found:
            # The test on which the verdict hangs.
            weakest = max(range(len(found)), key=lambda number: found[number].p)
            outcome = found[weakest]
            row |= {"effect": outcome.effect, "ci_low": outcome.low, "ci_high": outcome.high, "n": outcome.n_problems}
            row |= {"n_seeds": outcome.n_seeds, "p_holm": p, "test": describe(claim.tests[weakest])}
        columns = ["claim", "statement", "verdict", "effect", "ci_low", "ci_high", "n"]
        row |= {"paper": claim.paper, "source": claim.source, "scale": config.scale}
        rows.append(
            {column: row[column] for column in [*columns, "paper", "n_seeds", "p_holm", "test", "source", "scale"]}
        )
        details += [
            {"claim": name, "test": describe(test)} | outcome.model_dump()
            for test, outcome in zip(claim.tests, found, strict=bool(found))
        ]
    pd.DataFrame(rows).to_csv(folder / "claims.csv", index=False, float_format="%.6g")
    # Where no claim can be tested, the columns are there still.
    details = pd.DataFrame(details, columns=["claim", "test", *Outcome.model_fields])
    details.to_csv(folder / "tests.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    run_stage(AuditStage, audit_claims)
