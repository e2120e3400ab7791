"""Verdicts: every claim of the paper, tested on the labels of this run's generations.

Pass rates and strategies are counted from the labels, independently of the measures; cross-entropies are from the log
of SFT. Writes ``claims.csv``, one row per claim, and ``tests.csv``, one row per test.
"""

from pathlib import Path

import pandas as pd
from scipy.stats import binomtest

from selectimprove.analysis.claims import Claim
from selectimprove.analysis.claims.judging import Outcome, reach_verdicts
from selectimprove.analysis.claims.quantities import ROLLOUTS, Labels, run_tests
from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import VerdictsStage

CLAIM_COLUMNS = [
    *("claim", "statement", "verdict", "effect", "ci_low", "ci_high", "n"),
    *("paper", "n_seeds", "p_holm", "test", "source", "scale", "detail", "follows"),
]
TEST_COLUMNS = ["claim", "test", *Outcome.model_fields]


def audit_claims(config: VerdictsStage, inputs: dict[str, Path], folder: Path) -> None:
    """Test every claim on the models that it names."""
    claims = {name: Claim.model_validate(entry) for name, entry in config.claims.items()}
    confidence = config.statistics.confidence
    labels = Labels(config, inputs)
    outcomes = {
        name: run_tests(claim, config.seeds[claim.experiment], labels, confidence) if name in config.run else []
        for name, claim in claims.items()
    }
    rows, tests = [], []
    for name, (verdict, p) in reach_verdicts(outcomes, confidence).items():
        claim, found = claims[name], outcomes[name]
        row = {"claim": name, "statement": claim.statement, "verdict": verdict}
        row |= {"paper": claim.paper, "source": claim.source, "scale": config.scale}
        if found:
            # The verdict depends on this test.
            weakest = max(range(len(found)), key=lambda number: (found[number].p, abs(found[number].effect)))
            outcome = found[weakest]
            row |= {"effect": outcome.effect, "ci_low": outcome.low, "ci_high": outcome.high, "p_holm": p}
            row |= {"n": outcome.n_problems or None, "n_seeds": outcome.n_seeds}
            row["test"] = claim.tests[weakest].describe()
            row["detail"] = describe_detail(claim, config.seeds[claim.experiment], labels, found, confidence)
        if claim.follows_from:
            row["follows"] = f"{', '.join(claim.follows_from)}: {claim.follows_how}"
        rows.append(row)
        tests += [
            {"claim": name, "test": test.describe()} | outcome.model_dump()
            for test, outcome in zip(claim.tests, found, strict=bool(found))
        ]
    for name, table, columns in (("claims", rows, CLAIM_COLUMNS), ("tests", tests, TEST_COLUMNS)):
        pd.DataFrame(table, columns=columns).to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")


def describe_detail(claim: Claim, seeds: list[int], labels: Labels, outcomes: list[Outcome], confidence: float) -> str:
    """Say how rare a hidden strategy was, or why nothing could be tested; empty if neither applies."""
    if claim.detail == "hidden_strategy":
        return _describe_hidden(claim, seeds, labels, confidence)
    if any(outcome.low is None for outcome in outcomes):
        largest = 100 * max(abs(outcome.effect) for outcome in outcomes)
        return (
            "One seed and one cross-entropy per model have no interval, so nothing is tested; the largest of "
            f"{len(outcomes)} differences is {largest:.1f} log points (about per cent)."
        )
    return ""


def upper_bound(n_shown: int, n: int, confidence: float) -> float:
    """Return the exact one-sided upper bound of a share (Clopper and Pearson 1934)."""
    return float(binomtest(n_shown, n, alternative="less").proportion_ci(confidence, method="exact").high)


def _describe_hidden(claim: Claim, seeds: list[int], labels: Labels, confidence: float) -> str:
    """Say on how many problems each model took the strategy before RL, and how many rollouts took it in each RL.

    Problems are independent, generations of one problem are not. The share of problems that show the strategy is at
    least that of generations, so the bound holds for both. Balanced test sets make it too wide (Hoeffding 1956).
    """

    def count(variant: str, sft: str, training: str, strategy: str) -> tuple[int, int]:
        """Count problems of test sets, or after RL its rollouts: those that show the strategy, and all."""
        n_shown = n = 0
        for seed in seeds:
            model = (claim.experiment, variant, sft, training, seed)
            for name in labels.test_sets(model) if training == "sft" else [ROLLOUTS]:
                rows = labels.rows(model, name)
                shown = rows["strategy"] == strategy
                if name != ROLLOUTS:
                    shown = shown.groupby(rows["problem_id"]).any()
                n_shown, n = n_shown + int(shown.sum()), n + len(shown)
        return n_shown, n

    models: dict[tuple[str, str, str], dict[str, None]] = {}
    for test in claim.tests:
        models.setdefault((test.of.variant, test.of.sft, test.of.value), {})[test.of.training] = None
    parts = []
    for (variant, sft, strategy), trainings in models.items():
        n_shown, n = count(variant, sft, "sft", strategy)
        bound = 100 * upper_bound(n_shown, n, confidence)
        before = f"{sft} took {strategy} on {n_shown:,} of {n:,} problems before RL (π₀ at most {bound:.2g} %)"
        rollouts = [(*count(variant, sft, training, strategy), training) for training in trainings]
        during = " and ".join("{:,} of {:,} rollouts of {}".format(*counted) for counted in rollouts)
        parts.append(f"{before} and in {during}")
    return f"{'; '.join(parts)} (bounds over problems: Clopper–Pearson, one-sided, {100 * confidence:g} %)."


if __name__ == "__main__":
    run_stage(VerdictsStage, audit_claims)
