"""Claims: what the paper says, and the test of each, fixed beforehand in ``workflow/claims.yaml``."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from selectimprove.config.resolving import Case
from selectimprove.types import ParamsError, Strict

CLAIMS = Path(__file__).parents[2] / "claims.yaml"


class Quantity(Strict):
    """A number about one model; see the head of ``workflow/claims.yaml``."""

    sft: str
    training: str = "sft"
    variant: str = "default"
    problem_type: str = "all"
    problem_set: str = "6-9"
    where: dict[str, int] = {}
    value: Literal[
        "pass_at_1",
        "selection",
        "improvement",
        "sharpening",
        "capability",
        "forward",
        "backward",
        "other",
        "rollouts_excess",
    ] = "pass_at_1"


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
    def is_level(self) -> bool:
        """Whether a quantity is compared with a level of it, such as 85 %, and not with another or with zero."""
        return not isinstance(self.less, Quantity) and self.less != 0

    @property
    def quantities(self) -> list[Quantity]:
        return [side for side in (self.of, self.less) if isinstance(side, Quantity)]


class Claim(Strict):
    """What the paper says, where, and the tests that a run has to pass for it."""

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


def describe_where(quantity: Quantity) -> str:
    """Say to which of the problems a quantity is limited: ``4 parts``; empty if to none."""
    return " ".join(f"{value} {name.removeprefix('n_')}" for name, value in quantity.where.items())


def can_run(claim: Claim, scale: str, case: Case | None) -> bool:
    """Tell whether the params have every model and every set of problems that a claim's tests name.

    Parameters
    ----------
    claim : Claim
    scale : str
    case : Case or None
        The claim's experiment; None if there is none of that name.
    """
    if not claim.tests or scale not in (claim.scales or [scale]) or case is None:
        return False
    experiment, test_problems = case.params.experiments[claim.experiment], case.section.test_problems
    return all(
        quantity.sft in experiment.sft_mixes
        and quantity.training in ("sft", *experiment.rl_problems)
        and quantity.variant in experiment.variants
        and quantity.problem_set in test_problems
        and all(value in test_problems[quantity.problem_set].difficulties for value in quantity.where.values())
        for test in claim.tests
        for quantity in test.quantities
    )
