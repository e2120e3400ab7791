"""Labels of responses to compositions: how many parts are right, and where a response first goes wrong."""

from selectimprove.tasks.chains.problems import Problem
from selectimprove.tasks.compositions.problems import BY_PART, OPENING_WORDS, Composition, part_label, work_part
from selectimprove.tasks.compositions.settings import Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import LabelsAspect, StepMark
from selectimprove.tasks.shared import QUESTIONS, STRATEGIES, SUITED, answer_of

FIRST_ERRORS = ("none", "format", "stop", "question", "strategy", "carry", "step", "arithmetic", "answer")
"""Kinds of first error.

``format``: a word of the wrong kind; ``stop``: an answer before the last part, or a word after it; ``question``: a part
opens with the other question; ``strategy``: a part opens with the strategy that does not suit it; ``carry``: a part
opens with a value that is neither given nor the answer of the part before; ``step``: not the part's next step;
``arithmetic``: a wrong result; ``answer``: all parts are right, but the answer is not the last part's.
"""


def _first_error(field: FiniteField, composition: Composition, words: list[str], answer: int | None) -> tuple[str, int]:
    at = 0
    for n_right, part in enumerate(composition.parts):
        expected, _ = work_part(field, part, SUITED[part.problem_type], part.given)
        for position, word in enumerate(expected):
            found = words[at] if at < len(words) else ""
            if found != word:
                return _kind(part, position, found, answer is not None and at == len(words) - 2), n_right
            at += 1
    if answer is None or at != len(words) - 2:
        return "stop" if words[at : at + 1] != ["answer"] and at < len(words) else "format", composition.n_parts
    return "none" if answer == composition.answer else "answer", composition.n_parts


def _kind(part: Problem, position: int, found: str, answers: bool) -> str:
    """Name the error of a wrong word, which was found at a position of a part's response."""
    within_step = (position - OPENING_WORDS) % 3
    if answers and (position == 0 or (position >= OPENING_WORDS and within_step == 0)):
        return "stop"
    if position == 0:
        return "step" if found[:1] == "s" and found != part_label(part) else "format"
    if position == 1:
        return "question" if found in QUESTIONS.values() else "format"
    if position == 2:
        return "strategy" if found in STRATEGIES else "format"
    looks_like = {0: "s", 1: "+-*/", 2: "e"}
    if not found or found[0] not in looks_like[within_step] or found == "end":
        return "format"
    if position == 3:
        return "carry"
    return "arithmetic" if within_step == 2 else "step"


class CompositionLabels(LabelsAspect):
    """Labels of compositions."""

    label_strategies = (BY_PART,)
    first_errors = FIRST_ERRORS

    def label(self, settings: Settings, composition: Composition, completion: str) -> dict:
        """Label any text; ``n_right`` counts the parts before the first error."""
        answer = answer_of(completion)
        error, n_right = _first_error(settings.field, composition, completion.split(), answer)
        correct = answer == composition.answer
        return {"strategy": BY_PART, "first_error": error, "n_right": n_right, "answer": answer, "correct": correct}

    def mark_steps(self, row) -> tuple[int, list[StepMark]]:
        """Mark the openings and steps of the parts before the first error, which are all that labels describe."""
        marks = []
        for n_steps in row.part_steps[: row.n_right]:
            marks += [StepMark(OPENING_WORDS, "right"), *[StepMark(3, "right")] * int(n_steps)]
        return 0, marks
