"""Claims: what the paper says, and the test of each, fixed beforehand in ``workflow/claims.yaml``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from selectimprove.config.loading import known_scales
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import Params
from selectimprove.config.resolving import Case
from selectimprove.config.yaml_file import YamlFile, read_yaml
from selectimprove.errors import one_line
from selectimprove.tasks.interface import Settings, load_task
from selectimprove.types import NUMBER, ParamsError, Strict

CLAIMS = Path(__file__).parents[2] / "claims.yaml"

Mechanism = Literal["selection", "improvement", "sharpening", "capability"]


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
        Mechanism,
        "forward",
        "backward",
        "other",
        "rollouts_excess",
        "cross_entropy",
    ] = "pass_at_1"

    @property
    def is_mechanism(self) -> bool:
        """Whether it is a part of the change since before RL, for which models have to be told strategies."""
        return self.value in get_args(Mechanism)

    @model_validator(mode="after")
    def _has_value(self) -> Self:
        if self.value == "cross_entropy" and (self.training, self.problem_type, self.where) != ("sft", "all", {}):
            raise ValueError(
                "cross_entropy is of SFT, over all validation problems; name no training or problems with it"
            )
        return self


def _kind_of_side(side) -> str:
    return "quantity" if isinstance(side, dict | Quantity) else "number"


class ClaimTest(Strict):
    """A difference between a quantity and another or a number, and where it should lie."""

    of: Quantity
    less: Annotated[
        Annotated[Quantity, Tag("quantity")] | Annotated[float, NUMBER, Tag("number")], Discriminator(_kind_of_side)
    ] = 0.0
    above: Annotated[float, NUMBER] | None = None
    below: Annotated[float, NUMBER] | None = None
    within: Annotated[float, Field(gt=0), NUMBER] | None = None

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
    """What the paper says, where, and the tests that a run has to pass for it.

    Parameters
    ----------
    follows_from : list of str
        Claims, or ``design``, that this one or a part of it follows from: its verdict adds little to theirs.
    follows_how : str
        The reason, and what does not follow.
    detail : 'hidden_strategy', optional
        The verdict states how often each model took the strategy of the tests before RL and in the rollouts of RL.
    """

    statement: str
    source: str
    paper: str
    experiment: str
    tests: list[ClaimTest]
    scales: list[str] | None = None
    follows_from: list[str] = []
    follows_how: str = ""
    detail: Literal["hidden_strategy"] | None = None

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if bool(self.follows_from) != bool(self.follows_how):
            raise ValueError("needs follows_from and follows_how together")
        return self


def read_claims(path: Path | None = None, params: Params | None = None) -> dict[str, Claim]:
    """Read the claims by name.

    Parameters
    ----------
    path : Path, optional
    params : Params, optional
        The claims are checked against their tasks. Models and problems that they name need not be there: such a claim is not tested.

    Raises
    ------
    ParamsError
        With the file, the line, the key and what is wrong; a line per mistake.
    """
    file = read_yaml(path or CLAIMS)
    claims, mistakes = {}, []
    for name, entry in file.content.items():
        try:
            claims[name] = Claim.model_validate(entry)
        except ValidationError as error:
            mistakes += [_of_entry(name, line) for line in describe_all(error.errors(), Claim)]
    if not mistakes:
        mistakes = [
            line
            for name, claim in claims.items()
            for other in claim.follows_from
            for line in unknown_name(f"{name}.follows_from", other, ["design", *(claims.keys() - {name})])
        ]
    if not mistakes and params:
        mistakes = [line for name, claim in claims.items() for line in _never_true(name, claim, params)]
    if mistakes:
        raise ParamsError("\n".join(f"{_place(file, line)}: {one_line(line)}" for line in mistakes))
    return claims


def _of_entry(name: str, line: str) -> str:
    key, _, what = line.partition(": ")
    # What a number or a quantity was taken for is no key.
    key = ".".join(part for part in key.split(".") if part not in ("quantity", "number"))
    return f"{name}.{key}: {what}" if key else f"{name}: {what}"


def _place(file: YamlFile, line: str) -> str:
    return file.place(line.partition(": ")[0])


def _never_true(name: str, claim: Claim, params: Params) -> Iterator[str]:
    """Find what no scale is called, and what no experiment of the claim's task can have."""
    for scale in claim.scales or ():
        yield from unknown_name(f"{name}.scales", scale, known_scales())
    if claim.experiment not in params.experiments:
        return
    task = params.experiments[claim.experiment].task
    settings = Case(params, task).settings
    for number, test in enumerate(claim.tests):
        for side, quantity in (("of", test.of), ("less", test.less)):
            if isinstance(quantity, Quantity):
                key = f"{name}.tests.{number}.{side}"
                types = ("all", *settings.problem_types)
                yield from unknown_name(f"{key}.problem_type", quantity.problem_type, types)
                yield from unknown_name(f"{key}.value", quantity.value, _values_of(task, settings))
                for column in quantity.where:
                    yield from unknown_name(f"{key}.where.{column}", column, [settings.difficulty])


def _values_of(task: str, settings: Settings) -> Iterator[str]:
    """List the values that models of a task have."""
    strategies = load_task(task).label_strategies
    yield from ("pass_at_1", "cross_entropy")
    yield from (strategy for strategy in ("forward", "backward", "other") if strategy in strategies)
    if "forward" in strategies and "evaluation" in settings.problem_types:
        yield "rollouts_excess"
    if load_task(task).openings:
        yield from get_args(Mechanism)


def describe_where(quantity: Quantity) -> str:
    """Say to which of the problems a quantity is limited: ``4 parts``; empty if to none."""
    return " ".join(f"{value} {name.removeprefix('n_')}" for name, value in quantity.where.items())


def can_run(claim: Claim, scale: str, cases: dict[str | None, Case]) -> bool:
    """Tell whether the params have every model and every set of problems that a claim's tests name, and tell models strategies where these ask for it.

    Parameters
    ----------
    claim : Claim
    scale : str
    cases : dict of str or None to Case
        The claim's experiment by variant, and under None without one; empty if there is none of that name.
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
