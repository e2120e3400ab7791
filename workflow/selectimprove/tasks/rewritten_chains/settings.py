"""Types of the task of rewritten chains: those of chains, and what is written otherwise."""

from typing import Literal

from selectimprove.tasks.chains import settings as chains


class Settings(chains.Settings):
    """The chains' settings, where a prompt asks its question, and what a response says before its first value."""

    question: Literal["first", "last"]
    """Where the prompt says what is asked for: before the chain, or after it as in chains."""
    direction_words: bool
    """Whether a response names its strategy and announces a guess before its first value, as in chains."""

    @property
    def slug(self) -> str:
        words = "words" if self.direction_words else "no-words"
        return f"rewritten-gf{self.field_order}-question-{self.question}-{words}"


class Problems(chains.Problems):
    """Problems spread evenly over numbers of steps."""


class Demonstrations(chains.Demonstrations):
    """An SFT mix."""

    pairing: Literal["any", "unsuited"] = "any"
    """``any``: a problem's type does not matter, `forward_share` does; ``unsuited``: every problem is answered in the strategy that needs a guess there, whatever `forward_share`."""


class Documents(chains.Documents):
    """What the base model reads."""
