"""Chains of which the question may come first.

A prompt then reads ``find-end start e3 s7 +e5 s8 *e2 end ?``. Where the question comes last, as in chains, the last word of a prompt says
which strategy suits, and the first word of the response which one is taken: selection could be a lookup of the word before. Where it
comes first, the whole chain stands between the two.
"""

from dataclasses import dataclass

from selectimprove.tasks.chains import problems as chains
from selectimprove.tasks.chains.problems import (
    OPENINGS,
    answer_text,
    content_of,
    find_mistakes,
    longest_response,
    most_steps,
    reward,
    to_row,
)
from selectimprove.tasks.rewritten_chains.settings import Problems, Settings

__all__ = [
    "OPENINGS",
    "answer_text",
    "content_of",
    "find_mistakes",
    "longest_response",
    "most_steps",
    "reward",
    "to_row",
]


def place_question(words: list[str], question: str) -> list[str]:
    """Put the question of a prompt of chains, its last word, where it is to stand."""
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


def draw_problems(settings: Settings, problems: Problems, n_problems: int, split: str, seed: int) -> list[Problem]:
    """Draw the problems that `selectimprove.tasks.chains.problems.draw_problems` draws."""
    drawn = chains.draw_problems(settings, problems, n_problems, split, seed)
    return [Problem(**vars(problem), question=settings.question) for problem in drawn]


def from_row(row: dict) -> Problem:
    """Undo `to_row`."""
    return Problem(**vars(chains.from_row(row)), question=row["question"])
