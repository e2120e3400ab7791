"""What a verdict should be read with, in one sentence: how rare a hidden strategy was, or why nothing could be tested."""

from scipy.stats import binomtest

from selectimprove.analysis.claims import Claim
from selectimprove.stages.verdicts.judging import Outcome
from selectimprove.stages.verdicts.quantities import Generations


def describe_detail(
    claim: Claim, seeds: list[int], generations: Generations, outcomes: list[Outcome], confidence: float
) -> str:
    """Return the sentence; empty where a claim needs none.

    Parameters
    ----------
    claim : Claim
    seeds : list of int
    generations : Generations
    outcomes : list of Outcome
        Of its tests, in their order.
    confidence : float
        Of upper bounds.
    """
    if claim.detail == "hidden_strategy":
        return _describe_hidden(claim, seeds, generations, confidence)
    if any(outcome.low is None for outcome in outcomes):
        largest = 100 * max(abs(outcome.effect) for outcome in outcomes)
        return (
            "One seed and one cross-entropy per model have no interval, so nothing is tested; the largest of "
            f"{len(outcomes)} differences is {largest:.1f} log points (about per cent)."
        )
    return ""


def upper_bound(n_shown: int, n: int, confidence: float) -> float:
    """Return the exact one-sided upper bound of a share (Clopper and Pearson 1934); with none shown, 1 - (1 - confidence)^(1/n)."""
    return float(binomtest(n_shown, n, alternative="less").proportion_ci(confidence, method="exact").high)


def _describe_hidden(claim: Claim, seeds: list[int], generations: Generations, confidence: float) -> str:
    """Say for each model its share of the strategy before RL, in problems, and its count in the rollouts of each RL.

    Generations of one problem depend on one another and problems do not. The share of problems with at least one generation of
    the strategy is no less than the share of generations, so its bound holds for both. Test sets are balanced over
    difficulties, which makes the bound wider than it has to be (Hoeffding 1956).
    """
    models: dict[tuple[str, str, str], list[str]] = {}
    for test in claim.tests:
        trainings = models.setdefault((test.of.variant, test.of.sft, test.of.value), [])
        if test.of.training not in trainings:
            trainings.append(test.of.training)
    parts = []
    for (variant, sft, strategy), trainings in models.items():

        def counted(training: str, sets: list[str] | None, of=(variant, sft, strategy)) -> tuple[int, int]:
            """Count problems of test sets, or without these rollouts: those that show the strategy, and all."""
            n_shown = n = 0
            for seed in seeds:
                model = (claim.experiment, *of[:2], training, seed)
                for name in sets or generations.test_sets(model):
                    rows = generations.labeled(model, name)
                    shown = rows["strategy"] == of[2]
                    if name != "rollouts":
                        shown = shown.groupby(rows["problem_id"]).any()
                    n_shown, n = n_shown + int(shown.sum()), n + len(shown)
            return n_shown, n

        n_shown, n = counted("sft", None)
        bound = 100 * upper_bound(n_shown, n, confidence)
        before = f"{sft} took {strategy} on {n_shown:,} of {n:,} problems before RL (π₀ at most {bound:.2g} %)"
        rollouts = [(training, *counted(training, ["rollouts"])) for training in trainings]
        during = " and ".join(f"{shown:,} of {all_:,} rollouts of {training}" for training, shown, all_ in rollouts)
        parts.append(f"{before} and in {during}")
    return f"{'; '.join(parts)} (bounds over problems: Clopper–Pearson, one-sided, {100 * confidence:g} %)."
