"""Labels of responses to compositions: how many parts are right, and where a response first goes wrong."""

from dataclasses import dataclass

from selectimprove.tasks.chains.problems import QUESTIONS, STRATEGIES, SUITED
from selectimprove.tasks.compositions.problems import BY_PART, OPENING_WORDS, Composition, part_label, work_part
from selectimprove.tasks.compositions.settings import Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import LabelsAspect, StepMark
from selectimprove.tasks.reward import answer_of

FIRST_ERRORS = ("none", "format", "stop", "question", "strategy", "carry", "step", "arithmetic", "answer")
"""Kinds of first error.

``format``: a word where another kind of word belongs; ``stop``: answered before the last part, or went on after it; ``question``: a part
opened with what another asks for; ``strategy``: a part opened with the strategy that does not suit it; ``carry``: a part opened with another
value than the answer of the part before (or than the given one); ``step``: another step than the part's next; ``arithmetic``: a wrong result; ``answer``: all parts right, but
another answer than the last one's.
"""


@dataclass(frozen=True)
class PartsLabel:
    """What a generation did with its composition.

    Parameters
    ----------
    first_error : str
        One of `FIRST_ERRORS`.
    n_right : int
        Parts that are right from the first one on.
    answer : int or None
        The symbol answered.
    correct : bool
        Whether the answer is the composition's. The outcome reward.
    """

    first_error: str
    n_right: int
    answer: int | None
    correct: bool


def label_parts(field: FiniteField, composition: Composition, text: str) -> PartsLabel:
    """Label one generation; never fails.

    Parameters
    ----------
    field : FiniteField
    composition : Composition
    text : str
        The completion, without the prompt; any text.
    """
    answer = answer_of(text)
    error, n_right = _first_error(field, composition, text.split(), answer)
    return PartsLabel(error, n_right, answer, answer == composition.answer)


def _first_error(field, composition, words, answer) -> tuple[str, int]:
    at = 0
    for n_right, part in enumerate(composition.parts):
        expected, _ = work_part(field, part, SUITED[part.problem_type], part.given)
        for position, word in enumerate(expected):
            found = words[at] if at < len(words) else ""
            if found != word:
                return _kind(part, position, found, answer is not None and at == len(words) - 2), n_right
            at += 1
    n_right = composition.n_parts
    if answer is None or at != len(words) - 2:
        return "stop" if words[at : at + 1] != ["answer"] and at < len(words) else "format", n_right
    return "none" if answer == composition.answer else "answer", n_right


def _kind(part, position: int, found: str, answers: bool) -> str:
    """Name the error of a word that is not the expected one, at a position of a part's response."""
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
        """Return the fields of the `PartsLabel` of a completion, and the strategy."""
        return {"strategy": BY_PART, **vars(label_parts(settings.field, composition, completion))}

    def mark_steps(self, row) -> tuple[int, list[StepMark]]:
        """Mark the openings and steps of the parts before the first error; labels say nothing about later ones."""
        marks = []
        for n_steps in row.part_steps[: row.n_right]:
            marks += [StepMark(OPENING_WORDS, "right"), *[StepMark(3, "right")] * int(n_steps)]
        return 0, marks
