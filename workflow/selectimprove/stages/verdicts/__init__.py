"""Verdicts: every claim of the paper against this run, tested on raw generations.

Rewards, strategies and their pass rates are found anew from the generations and the problems, and cross-entropies from what SFT logged;
neither labels nor measures are read. Writes ``claims.csv``, one row per claim, and ``tests.csv``, one row per test.
"""

from collections import defaultdict
from pathlib import Path

import pandas as pd

from selectimprove.analysis.claims import Claim
from selectimprove.config.stages import VerdictsStage
from selectimprove.stages.verdicts.details import describe_detail
from selectimprove.stages.verdicts.judging import Outcome, reach_verdicts
from selectimprove.stages.verdicts.quantities import Generations, describe, run_tests


def audit_claims(config: VerdictsStage, inputs: dict[str, Path], folder: Path) -> None:
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
            weakest = max(range(len(found)), key=lambda number: (found[number].p, abs(found[number].effect)))
            outcome = found[weakest]
            row |= {"effect": outcome.effect, "ci_low": outcome.low, "ci_high": outcome.high}
            row["n"] = outcome.n_problems or None
            row |= {"n_seeds": outcome.n_seeds, "p_holm": p, "test": describe(claim.tests[weakest])}
            seeds = config.seeds[claim.experiment]
            row["detail"] = describe_detail(claim, seeds, generations, found, confidence)
        if claim.follows_from:
            row["follows"] = f"{', '.join(claim.follows_from)}: {claim.follows_how}"
        columns = ["claim", "statement", "verdict", "effect", "ci_low", "ci_high", "n"]
        others = ["paper", "n_seeds", "p_holm", "test", "source", "scale", "detail", "follows"]
        row |= {"paper": claim.paper, "source": claim.source, "scale": config.scale}
        rows.append({column: row[column] for column in [*columns, *others]})
        details += [
            {"claim": name, "test": describe(test)} | outcome.model_dump()
            for test, outcome in zip(claim.tests, found, strict=bool(found))
        ]
    pd.DataFrame(rows).to_csv(folder / "claims.csv", index=False, float_format="%.6g")
    # Where no claim can be tested, the columns are there still.
    details = pd.DataFrame(details, columns=["claim", "test", *Outcome.model_fields])
    details.to_csv(folder / "tests.csv", index=False, float_format="%.6g")
