"""Types of the params of chains."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from selectimprove.tasks import interface
from selectimprove.tasks.field import FiniteField, check_prime, field_of
from selectimprove.tasks.shared import READ_SPLITS, SPLITS, SUITED
from selectimprove.types import Natural, Positive, Range, Share


def _shares(shares: dict[str, float]) -> dict[str, float]:
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"the shares add up to {sum(shares.values()):g}, not to 1")
    # Documents for a base model are drawn until one is of these splits.
    if (read := sum(shares[split] for split in READ_SPLITS)) < 0.01:
        raise ValueError(f"the shares of {' and '.join(READ_SPLITS)} add up to {read:g}; give them at least 0.01")
    return shares


SplitShares = Annotated[dict[Literal[SPLITS], Share], Field(min_length=4), AfterValidator(_shares)]


class Settings(interface.Settings):
    """The finite field, its symbols and labels, and how problems are divided among splits."""

    problem_types: ClassVar[tuple[str, ...]] = ("evaluation", "inversion")

    field_order: Annotated[int, AfterValidator(check_prime)]
    """Number of elements of the field; a prime."""
    relabel_seed: Natural
    """Seed of the hidden permutation from symbols to residues, one per field."""
    ring_size: Positive
    """Number of step labels; at least the most steps of any problem."""
    split_shares: SplitShares
    """Share of all chains that each split owns."""

    @property
    def slug(self) -> str:
        return f"gf{self.field_order}"

    @property
    def field(self) -> FiniteField:
        return field_of(self.field_order, self.relabel_seed)


class Problems(interface.Problems):
    """Problems spread evenly over numbers of steps."""

    steps: Range
    """Fewest and most steps."""
    evaluation_share: Share = 0.5
    """Share of evaluation problems; the others are inversion problems."""

    @property
    def slug(self) -> str:
        return f"{self.steps[0]}to{self.steps[1]}"

    @property
    def difficulties(self) -> range:
        return range(self.steps[0], self.steps[1] + 1)

    def count_types(self, n_problems: int) -> dict[str, int]:
        n_evaluation = round(n_problems * self.evaluation_share)
        return {"evaluation": n_evaluation, "inversion": n_problems - n_evaluation}


class Demonstrations(interface.Demonstrations):
    """An SFT mix; one of the two shares is given."""

    forward_share: Share | None = None
    """Share of forward demonstrations, whatever the problem type: 1 for F, 0 for B."""
    suited_share: Share | None = None
    """Share of demonstrations in the strategy that suits the problem; 0: all have to guess."""

    def refuse(self) -> Iterator[str]:
        if (self.forward_share is None) == (self.suited_share is None):
            yield "forward_share: give either forward_share or suited_share"

    def forward_share_of(self, problem_type: str) -> float:
        """Return the share of forward demonstrations among the problems of a type."""
        if self.suited_share is None:
            return self.forward_share
        return self.suited_share if SUITED[problem_type] == "forward" else 1 - self.suited_share


class Documents(interface.Documents):
    """What the base model reads."""

    drill_share: Share
    """Share of a batch that drills single operations."""
    backward_share: Share
    """Share of backward chains among the worked ones."""
    max_chain_steps: Positive
    """Most steps of a chain; lengths are uniform from 1 to this."""
    backward_sound_steps: Natural
    """Steps after which a backward chain may hold mistakes."""
    backward_error: Share
    """Error probability per step beyond those."""
    backward_error_kind: Literal["systematic", "random"]
    """``systematic``: mistakes take the next symbol; ``random``: any other, so the right one stays the likeliest."""
