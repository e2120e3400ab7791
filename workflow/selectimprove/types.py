"""What configs are made of: numbers with bounds, and ranges."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from selectimprove.errors import ParamsError

__all__ = ["SPLITS", "Natural", "ParamsError", "Positive", "Range", "Rate", "Share", "Strict"]

SPLITS = ("sft_train", "sft_validation", "rl", "test")


class Strict(BaseModel):
    """A config: no unknown keys, no changes. The string below a field is its description, in the schema and for editors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _ordered(ends):
    whole = isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(n, int) for n in ends)
    if not whole or not 1 <= ends[0] <= ends[1]:
        raise ValueError(f"{ends} is not a range; use [fewest, most] with 1 <= fewest <= most")
    return ends


Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[int, int], BeforeValidator(_ordered)]
"""Fewest and most, both included."""
