"""Types of the task of path-stars: the size of stars, distributions of problems, demonstrations, and documents for the base model."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from selectimprove.tasks import interface
from selectimprove.types import SPLITS, Natural, Positive, Range, Share


def _shares(shares: dict[str, float]) -> dict[str, float]:
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"the shares add up to {sum(shares.values()):g}, not to 1")
    # A star's split depends on the order, which keys do not see: there is only one.
    return {split: shares[split] for split in SPLITS}


class Settings(interface.Settings):
    """The names of nodes, the number of arms, and how stars are divided among splits."""

    problem_types: ClassVar[tuple[str, ...]] = ("evaluation", "inversion")

    n_nodes: Positive
    """Number of names; at least the most nodes of any star."""
    n_arms: Annotated[int, Field(ge=2, strict=True)]
    """Arms of a star; a guess is right in one of so many cases."""
    cued: bool
    """Whether the last word of a prompt tells the types apart; else only the edges do."""
    split_shares: Annotated[dict[Literal[SPLITS], Share], Field(min_length=4), AfterValidator(_shares)]
    """Share of all stars that each split owns."""

    @property
    def slug(self) -> str:
        return f"star{self.n_arms}{'' if self.cued else '-uncued'}"


class Problems(interface.Problems):
    """Problems spread evenly over lengths of arms."""

    steps: Range
    """Fewest and most edges of an arm."""
    evaluation_share: Share = 0.5
    """Share of evaluation problems; the others are inversion problems."""

    @property
    def slug(self) -> str:
        return f"{self.steps[0]}to{self.steps[1]}"

    @property
    def difficulties(self) -> range:
        return range(self.steps[0], self.steps[1] + 1)


class Demonstrations(interface.Demonstrations):
    """An SFT mix."""

    forward_share: Share
    """Share of forward demonstrations: 1 for F, 0 for B, one half for FB."""


class Documents(interface.Documents):
    """What the base model reads."""

    drill_share: Share
    """Share of a batch that drills single edges."""
    drill_edges: Positive
    """Edges of a drill."""
    backward_share: Share
    """Share of backward walks among the others."""
    max_steps: Positive
    """Most edges of an arm; a batch's length is the smaller of two draws from 1 on."""
    backward_sound_steps: Natural
    """Steps after which a backward walk may slip."""
    backward_error: Share
    """Probability of a slip per step beyond those, until there is one."""
