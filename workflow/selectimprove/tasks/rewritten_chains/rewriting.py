"""Problems, demonstrations and documents of chains, written as the settings say.

The question may come first: ``find-end start e3 s7 +e5 s8 *e2 end ?``. In chains it comes last, so the last word of the
prompt says which strategy suits, and the first word of the response says which one is taken: selection could be a
lookup of the word before. With the question first, the whole chain stands between the two words.

A mix may also demonstrate only unsuited strategies. Both then occur as often as in FB, but never on the problems that
they suit: if a model selects the suited strategy after RL, no demonstration has shown it.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from selectimprove.tasks.chains import problems as chains_problems
from selectimprove.tasks.chains import settings as chains_settings
from selectimprove.tasks.chains.demonstrations import ChainDemonstrations
from selectimprove.tasks.chains.documents import ChainDocuments
from selectimprove.tasks.chains.settings import Documents, Problems
from selectimprove.tasks.interface import Document
from selectimprove.tasks.shared import QUESTIONS, STRATEGIES

DIRECTION_WORDS = (*STRATEGIES, "guess")


class Settings(chains_settings.Settings):
    """The settings of chains, the place of the question, and the words before a response's first value."""

    question: Literal["first", "last"]
    """Whether the question stands before the chain, or after it as in the task chains."""
    direction_words: bool
    """Whether a response begins with its strategy and announces a guess, as in the task chains."""

    @property
    def slug(self) -> str:
        words = "words" if self.direction_words else "no-words"
        return f"rewritten-gf{self.field_order}-question-{self.question}-{words}"


@dataclass(frozen=True)
class Problem(chains_problems.Problem):
    """A chain and the place of the question in its prompt."""

    question: str = "last"

    @property
    def prompt(self) -> str:
        return " ".join(_place_question(super().prompt.split(), self.question))


def _place_question(words: list[str], question: str) -> list[str]:
    return words if question == "last" else [words[-1], *words[:-1]]


def _write_response(settings: Settings, words: list[str]) -> list[str]:
    return words if settings.direction_words else [word for word in words if word not in DIRECTION_WORDS]


class RewrittenTexts(chains_problems.ChainProblems, ChainDemonstrations, ChainDocuments):
    """Problems, demonstrations and documents of chains, rewritten."""

    def draw_problems(self, settings: Settings, problems: Problems, n: int, split: str, seed: int) -> list[Problem]:
        """Draw the chains that `ChainProblems` draws."""
        drawn = super().draw_problems(settings, problems, n, split, seed)
        return [Problem(**vars(problem), question=settings.question) for problem in drawn]

    def from_row(self, row: dict) -> Problem:
        return Problem(**vars(super().from_row(row)), question=row["question"])

    def respond(self, settings: Settings, problem: Problem, strategy: str) -> str:
        return " ".join(_write_response(settings, super().respond(settings, problem, strategy).split()))

    def vocabulary(self, settings: Settings) -> list[str]:
        """List the tokens of chains; only a word that begins a prompt has no space before it."""
        tokens = super().vocabulary(settings)
        if settings.question == "last":
            return tokens
        questions = QUESTIONS.values()
        return [" start", *questions, *(token for token in tokens if token.strip() not in ("start", *questions))]

    def draw_documents(self, settings: Settings, documents: Documents, batch_size: int, rng: Random) -> list[Document]:
        """Draw the documents of chains and rewrite them, except drills, which have no prompt."""
        rewritten = []
        for drawn in super().draw_documents(settings, documents, batch_size, rng):
            if drawn.prompt:
                prompt = _place_question(drawn.prompt, settings.question)
                drawn = replace(drawn, prompt=prompt, response=_write_response(settings, drawn.response))
            rewritten.append(drawn)
        return rewritten
