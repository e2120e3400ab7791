"""Problems of rewritten chains: the question may come first.

A prompt then reads ``find-end start e3 s7 +e5 s8 *e2 end ?``. In chains the question comes last: the last word of a prompt says which
strategy suits, and the first word of the response says which one is taken, so selection could be a lookup of the word before. Where the
question comes first, the whole chain stands between the two words.
"""

from dataclasses import dataclass

from selectimprove.tasks.chains import problems as chains
from selectimprove.tasks.rewritten_chains.settings import Problems, Settings


def place_question(words: list[str], question: str) -> list[str]:
    """Move the question of a prompt of chains, its last word, to the place that `question` names."""
    return words if question == "last" else [words[-1], *words[:-1]]


@dataclass(frozen=True)
class Problem(chains.Problem):
    """A chain and where its prompt asks.

    Parameters
    ----------
    question : {'first', 'last'}
    """

    question: str = "last"

    @property
    def prompt(self) -> str:
        return " ".join(place_question(super().prompt.split(), self.question))


class RewrittenProblems(chains.ChainProblems):
    """Problems of chains, asked where the settings say."""

    def draw_problems(
        self, settings: Settings, problems: Problems, n_problems: int, split: str, seed: int
    ) -> list[Problem]:
        """Draw the chains that `ChainProblems` draws."""
        drawn = super().draw_problems(settings, problems, n_problems, split, seed)
        return [Problem(**vars(problem), question=settings.question) for problem in drawn]

    def from_row(self, row: dict) -> Problem:
        return Problem(**vars(super().from_row(row)), question=row["question"])
