"""The outcome reward: 1 for the right answer, 0 for any other response (paper, RL section)."""

import re

_ANSWER = re.compile(r"answer e(\d{1,4})")


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
    match = _ANSWER.fullmatch(" ".join(completion.split()[-2:]))
    return int(match[1]) if match else None


def reward(completion: str, answer: int) -> float:
    """Score a completion against the problem's answer: 1.0 or 0.0."""
    return float(answer_of(completion) == answer)


def answer_text(answer: int) -> str:
    """Write an answer as a response does."""
    return f"e{answer}"
