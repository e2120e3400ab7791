"""Types of the params of compositions."""

from typing import ClassVar

from selectimprove.tasks import interface
from selectimprove.tasks.chains import settings as chains
from selectimprove.types import Positive, Range, Share


class Settings(chains.Settings):
    """The settings of chains, and the length of a part."""

    problem_types: ClassVar[tuple[str, ...]] = ("composition",)
    difficulty: ClassVar[str] = "n_parts"

    part_steps: Range
    """Fewest and most steps of a part."""

    @property
    def slug(self) -> str:
        return f"composition-gf{self.field_order}"


class Problems(interface.Problems):
    """Compositions spread evenly over numbers of parts."""

    parts: Range
    """Fewest and most parts."""

    @property
    def slug(self) -> str:
        return f"{self.parts[0]}to{self.parts[1]}-parts"

    @property
    def difficulties(self) -> range:
        return range(self.parts[0], self.parts[1] + 1)

    def count_types(self, n_problems: int) -> dict[str, int]:
        return {"composition": n_problems}


class Demonstrations(interface.Demonstrations):
    """Every part is answered in the strategy that suits it."""


class Documents(interface.Documents):
    """What the base model reads."""

    drill_share: Share
    """Share of a batch that drills single operations."""
    max_chain_steps: Positive
    """Most steps of the chains that drills are as long as; each batch draws one length, from 1 to this."""
    parts: Range
    """Fewest and most parts of a composition."""
    part_continue: Share
    """Probability, after each part, that the next one is worked too."""
