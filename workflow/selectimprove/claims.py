"""Claims: what the paper says, and the test of each, fixed beforehand in ``workflow/claims.yaml``."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from selectimprove.config import CompositionExperiment, Params, ParamsError, Strict

CLAIMS = Path(__file__).parents[1] / "claims.yaml"


class Quantity(Strict):
    """A number about one model; see the head of ``workflow/claims.yaml``."""

    sft: str
    training: str = "sft"
    variant: str = "default"
    problem_type: Literal["all", "evaluation", "inversion"] = "all"
    steps: str = "6-9"
    parts: int | None = None
    value: Literal["pass_at_1", "selection", "improvement", "forward", "backward", "other", "rollouts_forward"] = (
        "pass_at_1"
    )


class ClaimTest(Strict):
    """A difference between a quantity and another or a number, and where it should lie."""

    of: Quantity
    less: Quantity | float = 0.0
    above: float | None = None
    below: float | None = None
    within: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_question(self):
        if sum(bound is not None for bound in (self.above, self.below, self.within)) != 1:
            raise ValueError("needs exactly one of above, below and within")
        return self

    @property
    def quantities(self) -> list[Quantity]:
        return [side for side in (self.of, self.less) if isinstance(side, Quantity)]


class Claim(Strict):
    statement: str
    source: str
    paper: str
    experiment: str
    tests: list[ClaimTest]
    scales: list[str] | None = None


def read_claims(path: Path = CLAIMS) -> dict[str, Claim]:
    """Read the claims by name.

    Raises
    ------
    ParamsError
        With the file, the key and what is wrong.
    """
    try:
        return {name: Claim.model_validate(entry) for name, entry in yaml.safe_load(path.read_text()).items()}
    except (ValidationError, AttributeError, yaml.YAMLError) as error:
        lines = error.errors() if isinstance(error, ValidationError) else [{"loc": (), "msg": str(error)}]
        raise ParamsError(
            "\n".join(f"{path.name}: {'.'.join(map(str, line['loc']))}: {line['msg']}" for line in lines)
        ) from None


def can_run(claim: Claim, params: Params) -> bool:
    """Tell whether the params have every model and every set of problems that a claim's tests name."""
    if not claim.tests or params.scale not in (claim.scales or [params.scale]):
        return False
    if claim.experiment in params.compositions:
        return _has_parts(claim, params.compositions[claim.experiment])
    experiment = params.experiments.get(claim.experiment)
    if experiment is None:
        return False
    return all(
        quantity.sft in experiment.sft_mixes
        and quantity.training in ("sft", *experiment.rl_problems)
        and quantity.variant in experiment.variants
        and quantity.steps in [f"{fewest}-{most}" for fewest, most in params.evaluation.step_ranges]
        for test in claim.tests
        for quantity in test.quantities
    )


def _has_parts(claim: Claim, experiment: CompositionExperiment) -> bool:
    fewest, most = experiment.test_parts
    return all(
        quantity.sft in experiment.sft_parts
        and quantity.training in ("sft", *experiment.rl_parts)
        and quantity.parts in range(fewest, most + 1)
        for test in claim.tests
        for quantity in test.quantities
    )
