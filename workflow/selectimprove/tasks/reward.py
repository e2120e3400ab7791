"""The outcome reward: 1 for the right answer, 0 for any other response (paper, RL section)."""

import re

_SYMBOL = re.compile(r"e(0|[1-9][0-9]{0,3})")
"""A symbol as prompts write it: ``e07`` is none, nor is one in the digits of another script."""


def symbol_of(word: str) -> int | None:
    """Read a word as a symbol; None if it is none."""
    match = _SYMBOL.fullmatch(word)
    return int(match[1]) if match else None


def answer_of(completion: str) -> int | None:
    """Return the symbol that a completion answers: what stands behind ``answer`` in its last two words.

    Parameters
    ----------
    completion : str
        Any text.

    Returns
    -------
    int or None
        None where the completion does not end with an answer.
    """
    *_, before, last = ("", "", *completion.rsplit(maxsplit=2)[-2:])
    return symbol_of(last) if before == "answer" else None


def reward(completion: str, answer: int) -> float:
    """Score a completion against the problem's answer: 1.0 or 0.0."""
    return float(answer_of(completion) == answer)


def answer_text(answer: int) -> str:
    """Write an answer as a response does."""
    return f"e{answer}"


class SymbolAnswers:
    """The answers and the reward of a task whose answers are symbols."""

    answer_text = staticmethod(answer_text)
    reward = staticmethod(reward)
