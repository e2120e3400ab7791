"""Types of the params of path-stars."""

from typing import Annotated, ClassVar

from pydantic import Field

from selectimprove.tasks import interface
from selectimprove.tasks.chains.settings import SplitShares
from selectimprove.types import Natural, Positive, Share


class Settings(interface.Settings):
    """The number of names and of arms, and the shares of the splits. A step is an edge of an arm."""

    problem_types: ClassVar[tuple[str, ...]] = ("evaluation", "inversion")

    n_nodes: Positive
    """Number of names; at least the most nodes of any star."""
    n_arms: Annotated[int, Field(ge=2, strict=True)]
    """Number of arms of a star; a guess of the arm is right with probability 1 / n_arms."""
    cued: bool
    """Whether the last word of a prompt tells the types apart; if not, only the edges do."""
    split_shares: SplitShares
    """Share of all stars that each split owns."""

    @property
    def slug(self) -> str:
        return f"star{self.n_arms}{'' if self.cued else '-uncued'}"


class Documents(interface.Documents):
    """What the base model reads."""

    drill_share: Share
    """Share of a batch that drills single edges."""
    drill_edges: Positive
    """Edges of a drill."""
    backward_share: Share
    """Share of backward walks among all walks."""
    max_steps: Positive
    """Most edges of an arm; each batch has one length, from 1 to this."""
    backward_sound_steps: Natural
    """Steps after which a backward walk may slip."""
    backward_error: Share
    """Probability of a slip at each later step; a walk slips at most once."""
