"""The types of values in configs: numbers with bounds, ranges, seeds and lists of names."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

LARGEST_SEED = 2**32 - 1
"""The largest seed of NumPy's global generator, which training seeds."""


class Strict(BaseModel):
    """A config without unknown keys that cannot be changed; the string below a field describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def refuse(self) -> Iterator[str]:
        """Yield a line per contradiction between the values, beginning with its key; called when a config is read."""
        yield from ()

    @model_validator(mode="after")
    def _without_contradictions(self) -> Self:
        if mistakes := list(self.refuse()):
            raise PydanticCustomError("contradictions", "{lines}", {"lines": "\n".join(mistakes)})
        return self


def _ordered(ends):
    whole = isinstance(ends, list | tuple) and len(ends) == 2 and all(type(n) is int for n in ends)
    if not whole or not 1 <= ends[0] <= ends[1] <= LARGEST_SEED:
        raise ValueError(f"{ends} is not a range; use [fewest, most] with 1 <= fewest <= most")
    return ends


def _no_truth_value(value):
    # To Python, true is 1.
    if isinstance(value, bool):
        raise ValueError(f"input should be a number, not {value}")
    return value


def _distinct(values: list) -> list:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(map(repr, twice))} is there more than once; keep one of each")
    return values


Positive = Annotated[int, Field(gt=0, le=LARGEST_SEED, strict=True)]
Natural = Annotated[int, Field(ge=0, le=LARGEST_SEED, strict=True)]
NUMBER = BeforeValidator(_no_truth_value)
"""Stands beside the bounds of a float, and refuses true and false."""
Share = Annotated[float, Field(ge=0, le=1), NUMBER]
Rate = Annotated[float, Field(gt=0), NUMBER]
Range = Annotated[tuple[int, int], BeforeValidator(_ordered)]
"""Fewest and most, both included."""
DISTINCT = AfterValidator(_distinct)
"""Stands beside the bounds of a list, and refuses items that occur twice."""
Names = Annotated[list[str], DISTINCT]
SomeNames = Annotated[list[str], Field(min_length=1), DISTINCT]
Seeds = Annotated[list[Annotated[int, Field(ge=0, le=LARGEST_SEED, strict=True)]], Field(min_length=1), DISTINCT]
