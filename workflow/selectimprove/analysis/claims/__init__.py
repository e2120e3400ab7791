"""Claims: the statements of the paper and the tests of each, fixed beforehand in ``workflow/claims.yaml``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationError

from selectimprove.config.loading import known_scales, read_yaml
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import Case, Params
from selectimprove.errors import ParamsError, one_line
from selectimprove.tasks.interface import load_task
from selectimprove.types import NUMBER, Strict

CLAIMS = Path(__file__).parents[3] / "claims.yaml"
MECHANISMS = ("selection", "improvement", "sharpening", "capability")
"""Values that are parts of the change in pass@1 by RL; they need models that were told strategies."""


class Quantity(Strict):
    """A number about one model; the head of ``workflow/claims.yaml`` lists its values."""

    sft: str
    training: str = "sft"
    variant: str = "default"
    problem_type: str = "all"
    problem_set: str = "6-9"
    where: dict[str, int] = {}
    value: str = "pass_at_1"

    @property
    def is_mechanism(self) -> bool:
        return self.value in MECHANISMS

    def refuse(self) -> Iterator[str]:
        if self.value == "cross_entropy" and (self.training, self.problem_type, self.where) != ("sft", "all", {}):
            yield "value: cross_entropy is that of SFT on all validation problems; name no training and no problems"

    def describe_where(self) -> str:
        """Describe the problems that the quantity is limited to: ``4 parts``; empty if it is not limited."""
        return " ".join(f"{value} {name.removeprefix('n_')}" for name, value in self.where.items())

    def describe(self) -> str:
        """Describe the quantity, without its defaults: ``pass_at_1 FB rl_6_9 inversion 6-9``."""
        problems = "validation" if self.value == "cross_entropy" else self.describe_where() or self.problem_set
        parts = [self.value, self.sft, self.training, self.variant, self.problem_type, problems]
        return " ".join(part for part in parts if part not in ("default", "all"))


class ClaimTest(Strict):
    """A difference, between a quantity and another one or a number, and where it should lie."""

    of: Quantity
    less: Annotated[
        Annotated[Quantity, Tag("quantity")] | Annotated[float, NUMBER, Tag("number")],
        Discriminator(lambda side: "quantity" if isinstance(side, dict | Quantity) else "number"),
    ] = 0.0
    above: Annotated[float, NUMBER] | None = None
    below: Annotated[float, NUMBER] | None = None
    within: Annotated[float, Field(gt=0), NUMBER] | None = None

    def refuse(self) -> Iterator[str]:
        if sum(bound is not None for bound in (self.above, self.below, self.within)) != 1:
            yield "above: give exactly one of above, below and within"

    @property
    def is_level(self) -> bool:
        """Whether a quantity is compared with a level, such as 85 %, and not with another quantity or with zero."""
        return not isinstance(self.less, Quantity) and self.less != 0

    @property
    def quantities(self) -> list[Quantity]:
        return [side for side in (self.of, self.less) if isinstance(side, Quantity)]

    def describe(self) -> str:
        """Describe the test: ``pass_at_1 FB rl_6_9 6-9 − 0.85 above 0``."""
        less = self.less.describe() if isinstance(self.less, Quantity) else f"{self.less:g}"
        bounds = {"above": self.above, "below": self.below, "within": self.within}
        (bound,) = (f"{name} {value:g}" for name, value in bounds.items() if value is not None)
        return f"{self.of.describe()} − {less} {bound}"


class Claim(Strict):
    """A statement of the paper and the tests that a run has to pass for it; ``claims.yaml`` explains the fields."""

    statement: str
    source: str
    paper: str
    experiment: str
    tests: list[ClaimTest]
    scales: list[str] | None = None
    follows_from: list[str] = []
    follows_how: str = ""
    detail: Literal["hidden_strategy"] | None = None

    def refuse(self) -> Iterator[str]:
        if bool(self.follows_from) != bool(self.follows_how):
            yield "follows_from: give it together with follows_how"


def read_claims(path: Path | None = None, params: Params | None = None) -> dict[str, Claim]:
    """Read the claims by name; with params, check them against the tasks of their experiments.

    A claim may be about models or problems that the params do not have; it is then not tested.
    """
    file = read_yaml(path or CLAIMS)
    claims, mistakes = {}, []
    for name, entry in file.content.items():
        try:
            claims[name] = Claim.model_validate(entry)
        except ValidationError as error:
            mistakes += [_under(name, line) for line in describe_all(error.errors(), Claim)]
    for name, claim in claims.items() if not mistakes else ():
        for other in claim.follows_from:
            mistakes += unknown_name(f"{name}.follows_from", other, ["design", *(claims.keys() - {name})])
        if params:
            mistakes += _unknown_names(name, claim, params)
    if mistakes:
        raise ParamsError("\n".join(f"{file.place(line.partition(': ')[0])}: {one_line(line)}" for line in mistakes))
    return claims


def _under(name: str, line: str) -> str:
    """Prefix the key of a mistake with the claim's name, and drop the tags of pydantic's union."""
    key, _, what = line.partition(": ")
    parts = [name, *(part for part in key.split(".") if part not in ("", "quantity", "number"))]
    return f"{'.'.join(parts)}: {what}"


def _unknown_names(name: str, claim: Claim, params: Params) -> Iterator[str]:
    """Find unknown scales, and names that the task of the claim's experiment does not have."""
    for scale in claim.scales or ():
        yield from unknown_name(f"{name}.scales", scale, known_scales())
    if claim.experiment not in params.experiments:
        return
    task = load_task(params.experiments[claim.experiment].task)
    values = ["pass_at_1", "cross_entropy", *task.label_strategies]
    if len(task.Settings.problem_types) > 1:
        values.append("rollouts_excess")
    if task.openings:
        values += MECHANISMS
    types = ("all", *task.Settings.problem_types)
    for number, test in enumerate(claim.tests):
        for side, quantity in zip(("of", "less"), test.quantities, strict=False):
            key = f"{name}.tests.{number}.{side}"
            yield from unknown_name(f"{key}.problem_type", quantity.problem_type, types)
            yield from unknown_name(f"{key}.value", quantity.value, values)
            for column in quantity.where:
                yield from unknown_name(f"{key}.where.{column}", column, [task.Settings.difficulty])


def can_run(claim: Claim, scale: str, cases: dict[str | None, Case]) -> bool:
    """Tell whether the params have all models and problems that a claim's tests name.

    The cases are those of the claim's experiment by variant, and under None without a variant; none if the params lack
    the experiment. Mechanisms need models that are told strategies.
    """
    if not claim.tests or scale not in (claim.scales or [scale]) or not cases:
        return False
    experiment, test_problems = cases[None].params.experiments[claim.experiment], cases[None].section.test_problems
    return all(
        quantity.sft in experiment.sft_mixes
        and quantity.training in ("sft", *experiment.rl_problems)
        and quantity.variant in cases
        and quantity.problem_set in test_problems
        and all(value in test_problems[quantity.problem_set].difficulties for value in quantity.where.values())
        and (not quantity.is_mechanism or cases[quantity.variant].params.evaluation.told_problems > 0)
        for test in claim.tests
        for quantity in test.quantities
    )
