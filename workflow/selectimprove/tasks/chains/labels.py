"""Strategy labels: what a generation did, judged from its trace and not from a word in it.

A trace is a first value and triples (step label, operation with operand, result). It is *forward* if its first
steps, as many as the problem has, hold most of the problem's in order with their own operations, *backward* if they hold most in
reverse order with inverse operations, else *other*; since inverse operations have other signs, it cannot be both. Everything after the strategy
is checked against the steps that it should take: which are in order, which are arithmetically right, and what first goes
wrong.
"""

from dataclasses import dataclass

from selectimprove.tasks.chains.problems import STRATEGIES, SUITED, Problem
from selectimprove.tasks.chains.settings import Settings
from selectimprove.tasks.chains.strategies import steps_of
from selectimprove.tasks.field import INVERSE, FiniteField
from selectimprove.tasks.interface import LabelsAspect, StepMark
from selectimprove.tasks.reward import answer_of, symbol_of

FIRST_ERRORS = ("none", "format", "start", "order", "operation", "arithmetic", "missing", "extra", "guess", "answer")
"""Kinds of first error, in the order in which a response can meet them.

``format``: no first value, a word that is no triple, no answer, or no strategy; ``start``: not begun from the given value;
``order``: not the next step; ``operation``: the next step's label with another operation or operand; ``arithmetic``: a
wrong result; ``missing``, ``extra``: the trace ends early or goes on; ``guess``: an unsuited trace without an error whose
guess was wrong; ``answer``: a trace without an error, but another answer than it found.
"""


@dataclass(frozen=True)
class Trace:
    """The parts of a response, as far as it can be read.

    Parameters
    ----------
    guessed : bool
        Whether the first value was announced as a guess.
    first_value : int or None
    steps : list of (str, str, int, int)
        Label, operation, operand, result.
    answer : int or None
    well_formed : bool
        Whether every word had its place.
    """

    guessed: bool
    first_value: int | None
    steps: list[tuple[str, str, int, int]]
    answer: int | None
    well_formed: bool


@dataclass(frozen=True)
class Label:
    """What a generation did with its problem.

    Parameters
    ----------
    strategy : {'forward', 'backward', 'other'}
    guessed : bool
        Whether it committed to a guess of the hidden value.
    step_in_order, step_right : list of bool
        Per step of the trace: is it the step that the strategy takes there; is its result right, given the value
        before it.
    first_error : str
        One of `FIRST_ERRORS`.
    first_error_step : int
        Position in the trace of the first error, -1 if it is not at a step.
    answer : int or None
        The symbol answered.
    correct : bool
        Whether the answer is the problem's. The outcome reward.
    """

    strategy: str
    guessed: bool
    step_in_order: list[bool]
    step_right: list[bool]
    first_error: str
    first_error_step: int
    answer: int | None
    correct: bool


def _element(word: str, order: int) -> int | None:
    symbol = symbol_of(word)
    return symbol if symbol is not None and symbol < order else None


def read_head(words: list[str]) -> tuple[bool, int]:
    """Read the words before a response's first value: whether a guess is announced, and how many they are."""
    named = int(bool(words) and words[0] in STRATEGIES)
    guessed = words[named : named + 1] == ["guess"]
    return guessed, named + guessed


def parse_response(text: str, order: int) -> Trace:
    """Read a response as far as it follows the format; never fails.

    Parameters
    ----------
    text : str
        Any text.
    order : int
        Number of symbols; ``e13`` is no element of GF(13).
    """
    words = text.split()
    answer = answer_of(text)
    if answer is not None:
        words = words[:-2]
    guessed, at = read_head(words)
    first_value = _element(words[at], order) if at < len(words) else None
    at += 1
    steps = []
    while first_value is not None and at + 3 <= len(words):
        label, step, result = words[at : at + 3]
        operand, value = _element(step[1:], order), _element(result, order)
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
            previous, lengths[position] = (
                lengths[position],
                previous + 1 if item == other else max(lengths[position], lengths[position - 1]),
            )
    return lengths[-1]


def strategy_of(problem: Problem, trace: Trace) -> str:
    """Name the strategy of which the trace's first steps, as many as the problem has, hold more than half in order."""
    taken = [step[:3] for step in trace.steps[: problem.n_steps]]
    for strategy in STRATEGIES:
        if 2 * _common_subsequence(taken, steps_of(problem, strategy)) > problem.n_steps:
            return strategy
    return "other"


def label_generation(field: FiniteField, problem: Problem, text: str) -> Label:
    """Label one generation.

    Parameters
    ----------
    field : FiniteField
    problem : Problem
    text : str
        The completion, without the prompt; any text.

    Returns
    -------
    Label
    """
    trace = parse_response(text, field.order)
    strategy = strategy_of(problem, trace)
    expected = steps_of(problem, strategy) if strategy in STRATEGIES else []

    in_order, right = [], []
    value = trace.first_value
    for position, (label, operation, operand, result) in enumerate(trace.steps):
        in_order.append(position < len(expected) and (label, operation, operand) == expected[position])
        divides_by_zero = operation == "/" and operand == field.zero
        right.append(not divides_by_zero and field.apply(operation, value, operand) == result)
        value = result

    suited = strategy == SUITED[problem.problem_type]
    error, at = _first_error(problem, trace, expected, in_order, right, suited)
    correct = trace.answer == problem.answer
    return Label(strategy, trace.guessed, in_order, right, error, at, trace.answer, correct)


def _first_error(problem, trace, expected, in_order, right, suited) -> tuple[str, int]:
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
        """Return the fields of the `Label` of a completion."""
        return vars(label_generation(settings.field, problem, completion))

    def mark_steps(self, row) -> tuple[int, list[StepMark]]:
        marks = []
        for in_order, right in zip(row.step_in_order, row.step_right, strict=True):
            judgement = "right" if right else "wrong result"
            marks.append(StepMark(3, judgement if in_order else "wrong step"))
        return read_head(row.completion.split())[1] + 1 if marks else 0, marks
