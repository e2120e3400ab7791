"""Labels of responses to chains: they judge by the steps taken, not by the word that names a strategy.

A trace is a first value and triples (step label, operation with operand, result). If the problem has n steps, the first
n steps of the trace decide its strategy: *forward* if they contain more than half of the problem's steps in order;
*backward* if they contain more than half in reverse order with inverse operations; else *other*. No trace is both,
since inverse operations have other signs. The label then compares the whole trace with the strategy's steps: which are
in order, which are arithmetically right, and what first goes wrong.
"""

from typing import NamedTuple

from selectimprove.tasks.chains.problems import Problem, steps_of
from selectimprove.tasks.chains.settings import Settings
from selectimprove.tasks.field import INVERSE
from selectimprove.tasks.interface import LabelsAspect, StepMark
from selectimprove.tasks.shared import STRATEGIES, SUITED, answer_of, symbol_of

FIRST_ERRORS = ("none", "format", "start", "order", "operation", "arithmetic", "missing", "extra", "guess", "answer")
"""Kinds of first error.

``format``: no first value, a word outside a triple, no answer, or no strategy; ``start``: the first value is not the
given one; ``order``: not the next step; ``operation``: the next step's label with another operation or operand;
``arithmetic``: a wrong result; ``missing``, ``extra``: the trace has too few or too many steps; ``guess``: an unsuited
trace without an error whose guess was wrong; ``answer``: another answer than that of a trace without an error.
"""


class Trace(NamedTuple):
    """The parts of a response up to the first word that cannot be read."""

    guessed: bool
    first_value: int | None
    steps: list[tuple[str, str, int, int]]
    """Label, operation, operand and result of each step."""
    answer: int | None
    well_formed: bool
    """Whether all words could be read."""


def _read_head(words: list[str]) -> tuple[bool, int]:
    """Tell whether a guess is announced before a response's first value, and count the words before that value."""
    named = int(bool(words) and words[0] in STRATEGIES)
    guessed = words[named : named + 1] == ["guess"]
    return guessed, named + guessed


def _parse_response(text: str, order: int) -> Trace:
    """Read any text as far as it follows the format; `order` is the number of symbols."""
    words = text.split()
    answer = answer_of(text)
    if answer is not None:
        words = words[:-2]
    guessed, at = _read_head(words)
    first_value = symbol_of(words[at], order) if at < len(words) else None
    at += 1
    steps = []
    while first_value is not None and at + 3 <= len(words):
        label, step, result = words[at : at + 3]
        operand, value = symbol_of(step[1:], order), symbol_of(result, order)
        if step[0] not in INVERSE or operand is None or value is None:
            break
        steps.append((label, step[0], operand, value))
        at += 3
    well_formed = first_value is not None and at == len(words) and answer is not None
    return Trace(guessed, first_value, steps, answer, well_formed)


def _common_subsequence(left: list, right: list) -> int:
    lengths = [0] * (len(right) + 1)
    for item in left:
        previous = 0
        for position, other in enumerate(right, start=1):
            longest = previous + 1 if item == other else max(lengths[position], lengths[position - 1])
            previous, lengths[position] = lengths[position], longest
    return lengths[-1]


def _first_error(
    problem: Problem, trace: Trace, expected: list, in_order: list[bool], right: list[bool], suited: bool
) -> tuple[str, int]:
    if trace.first_value is None or not expected:
        return "format", -1
    if suited and trace.first_value != problem.given:
        return "start", -1
    for position, (ordered, is_right) in enumerate(zip(in_order, right, strict=True)):
        if not ordered:
            if position >= len(expected):
                return "extra", position
            same_label = trace.steps[position][0] == expected[position][0]
            return ("operation" if same_label else "order"), position
        if not is_right:
            return "arithmetic", position
    if not trace.well_formed:
        return "format", -1
    if len(trace.steps) < len(expected):
        return "missing", len(trace.steps)
    found = trace.steps[-1][3]
    if not suited and found != problem.given:
        return "guess", -1
    if trace.answer != (found if suited else trace.first_value):
        return "answer", -1
    return "none", -1


class ChainLabels(LabelsAspect):
    """Labels of chains."""

    label_strategies = (*STRATEGIES, "other")
    first_errors = FIRST_ERRORS

    def label(self, settings: Settings, problem: Problem, completion: str) -> dict:
        """Label any text.

        ``step_in_order`` says whether each step of the trace is the strategy's, ``step_right`` whether its result
        follows from the value before it. ``first_error_step`` is -1 if the first error is not at a step.
        """
        field = settings.field
        trace = _parse_response(completion, field.order)
        taken = [step[:3] for step in trace.steps[: problem.n_steps]]
        shared = {s: 2 * _common_subsequence(taken, steps_of(problem, s)) for s in STRATEGIES}
        strategy = next((s for s in STRATEGIES if shared[s] > problem.n_steps), "other")
        expected = steps_of(problem, strategy) if strategy in STRATEGIES else []
        in_order, right, value = [], [], trace.first_value
        for position, (label, operation, operand, result) in enumerate(trace.steps):
            in_order.append(position < len(expected) and (label, operation, operand) == expected[position])
            divides_by_zero = operation == "/" and operand == field.zero
            right.append(not divides_by_zero and field.apply(operation, value, operand) == result)
            value = result
        suited = strategy == SUITED[problem.problem_type]
        error, at = _first_error(problem, trace, expected, in_order, right, suited)
        return {
            "strategy": strategy,
            "guessed": trace.guessed,
            "step_in_order": in_order,
            "step_right": right,
            "first_error": error,
            "first_error_step": at,
            "answer": trace.answer,
            "correct": trace.answer == problem.answer,
        }

    def mark_steps(self, row) -> tuple[int, list[StepMark]]:
        marks = []
        for in_order, right in zip(row.step_in_order, row.step_right, strict=True):
            judgement = "right" if right else "wrong result"
            marks.append(StepMark(3, judgement if in_order else "wrong step"))
        return _read_head(row.completion.split())[1] + 1 if marks else 0, marks
