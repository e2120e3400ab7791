"""Code that several tasks share: splits by content, and answers that are symbols."""

import hashlib
import re
from dataclasses import asdict

STRATEGIES = ("forward", "backward")
SUITED = {"evaluation": "forward", "inversion": "backward"}
"""The strategy that reaches the answer of each problem type without a guess."""
QUESTIONS = {"evaluation": "find-end", "inversion": "find-start"}
SPLITS = ("sft_train", "sft_validation", "rl", "test")
"""All splits, in the order of their shares of the hash range."""
READ_SPLITS = ("sft_train", "sft_validation")
"""The splits that documents for a base model come from."""
_SYMBOL = re.compile(r"e(0|[1-9][0-9]{0,3})")
"""A symbol as prompts write it: without leading zeros, and in ASCII digits."""


def split_of_content(content: str, split_shares: dict[str, float]) -> str:
    """Return the split of a problem's content, a function of the content and of the splits' shares alone."""
    position = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest()) / 2**64
    for split in SPLITS:
        position -= split_shares[split]
        if position < 0:
            return split
    return SPLITS[-1]


def symbol_of(word: str, order: int = 10_000) -> int | None:
    """Read a word as one of `order` symbols; None if it is not one."""
    match = _SYMBOL.fullmatch(word)
    return int(match[1]) if match and int(match[1]) < order else None


def answer_of(completion: str) -> int | None:
    """Return the symbol in the last word of a text if the word before it is ``answer``, or else None."""
    *_, before, last = ("", "", *completion.rsplit(maxsplit=2)[-2:])
    return symbol_of(last) if before == "answer" else None


class SymbolProblems:
    """Members of tasks that have two strategies, answers that are symbols, and dataclasses as problems."""

    strategies = STRATEGIES
    suited = SUITED
    openings = {strategy: strategy for strategy in STRATEGIES}

    def answer_text(self, answer: int) -> str:
        return f"e{answer}"

    def reward(self, completion: str, answer: int) -> float:
        """Return 1.0 for the right answer and 0.0 for any other response (paper, RL section)."""
        return float(answer_of(completion) == answer)

    def to_row(self, problem) -> dict:
        return {**asdict(problem), "n_steps": problem.n_steps, "prompt": problem.prompt, "answer": problem.answer}

    def content_of(self, problem) -> tuple:
        return problem.content
