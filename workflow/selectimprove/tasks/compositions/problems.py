"""Compositions: problems of several parts, each given the answer of the part before.

A part is an evaluation or an inversion problem. A composition names the value that its first part is given, then its parts, each
with what it asks for; labels run along the ring through parts and steps alike::

    start e3 s7 find-end s8 +e5 s9 *e2 s10 find-start s11 +e1 s12 *e3 end ?

The response takes part after part, each in the strategy that suits it, opened by the part's label, what it asks for, the strategy and the
value that is carried over::

    s7 find-end forward e3 s8 +e5 e8 s9 *e2 e4 s10 find-start backward e4 s12 /e3 e2 s11 -e1 e6 answer e6

What the paper says of composition is two numbers: two parts in SFT, three to five in RL. The rest is our reconstruction. An opening restates the
question as a step restates its operation: both are then found in the prompt by the label before them, wherever they stand.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from selectimprove.tasks.chains.problems import (
    PROBLEM_TYPES,
    QUESTIONS,
    SUITED,
    Problem,
    count_chains,
    longest_steps,
    run_chain,
    split_of,
)
from selectimprove.tasks.chains.strategies import steps_of
from selectimprove.tasks.compositions.settings import Documents, Problems, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import ProblemsAspect
from selectimprove.tasks.reward import SymbolAnswers

BY_PART = "by part"
"""The strategy of every response: another one may suit each part."""

OPENING_WORDS = 4
"""Words with which a part of a response opens, before its steps of three words each."""


@dataclass(frozen=True)
class Composition:
    """Parts of which each is given the answer of the one before.

    Parameters
    ----------
    parts : tuple of Problem
        With labels that leave one free before each part, for the part itself.
    """

    parts: tuple[Problem, ...]

    problem_type = "composition"

    @property
    def n_parts(self) -> int:
        return len(self.parts)

    @property
    def n_steps(self) -> int:
        """Number of steps, the opening of each part being one: as many labels has the prompt."""
        return sum(1 + part.n_steps for part in self.parts)

    @property
    def given(self) -> int:
        return self.parts[0].given

    @property
    def answer(self) -> int:
        return self.parts[-1].answer

    @property
    def prompt(self) -> str:
        words = ["start", f"e{self.given}"]
        for part in self.parts:
            words += [part_label(part), QUESTIONS[part.problem_type]]
            for label, operation, operand in zip(part.labels, part.operations, part.operands, strict=True):
                words += [label, f"{operation}e{operand}"]
        return " ".join([*words, "end", "?"])


def part_label(part: Problem) -> str:
    """Return the label of a part: the one before its first step's."""
    return f"s{(part.first_label - 1) % part.ring_size}"


def work_part(field: FiniteField, part: Problem, strategy: str, value: int) -> tuple[list[str], int]:
    """Work a part from a first value.

    Returns
    -------
    words : list of str
        The part's label, question, strategy and value; then each step's label, operation and result.
    value : int
        The last result.
    """
    words = [part_label(part), QUESTIONS[part.problem_type], strategy, f"e{value}"]
    for label, operation, operand in steps_of(part, strategy):
        value = field.apply(operation, value, operand)
        words += [label, f"{operation}e{operand}", f"e{value}"]
    return words, value


def respond(field: FiniteField, composition: Composition) -> str:
    """Write the correct response to a composition."""
    words = []
    for part in composition.parts:
        words += work_part(field, part, SUITED[part.problem_type], part.given)[0]
    return " ".join([*words, "answer", f"e{composition.answer}"])


def _draw_part(field: FiniteField, given: int, n_steps: int, label: int, ring_size: int, rng: random.Random) -> Problem:
    choices = [(o, e) for o in "+*" for e in range(field.order) if (o, e) != ("*", field.zero)]
    operations, operands = zip(*(rng.choice(choices) for _ in range(n_steps)), strict=True)
    problem_type = rng.choice(PROBLEM_TYPES)
    start = given
    if problem_type == "inversion":
        # A chain is a bijection: exactly one start leads to the given end.
        start = next(e for e in range(field.order) if run_chain(field, e, operations, operands) == given)
    end = run_chain(field, start, operations, operands)
    return Problem(problem_type, operations, operands, start, end, (label + 1) % ring_size, ring_size)


def draw_composition(
    field: FiniteField, n_parts: int, part_steps: tuple[int, int], ring_size: int, rng: random.Random
) -> Composition:
    """Draw a composition; the type and the number of steps of each part are uniform."""
    label = rng.randrange(ring_size)
    given = rng.randrange(field.order)
    parts = []
    for _ in range(n_parts):
        part = _draw_part(field, given, rng.randint(*part_steps), label, ring_size, rng)
        parts.append(part)
        label, given = label + 1 + part.n_steps, part.answer
    return Composition(tuple(parts))


def content_of(composition: Composition) -> tuple:
    """Return what decides a composition's split, as a chain of `selectimprove.tasks.chains.problems.split_of`.

    Neither labels nor types count: what is an inversion problem in one split is not an evaluation problem in another. One part is
    its chain, which is of the same split as the same chain asked for by itself.
    """
    parts = composition.parts
    if len(parts) == 1:
        return parts[0].start, parts[0].operations, parts[0].operands
    operations = tuple("".join(part.operations) for part in parts)
    return tuple(part.start for part in parts), operations, tuple(part.operands for part in parts)


def most_steps(settings: Settings, problems: Problems | Documents) -> int:
    """Return the most steps of a composition, the opening of each part being one."""
    return problems.parts[1] * (settings.part_steps[1] + 1)


def too_few_labels(settings: Settings, asked: Problems | Documents) -> Iterator[tuple[str, str]]:
    """Find compositions with more labels than the ring, in which two steps would share one."""
    if (labels := most_steps(settings, asked)) > settings.ring_size:
        yield (
            "parts",
            f"{asked.parts[1]} parts of {settings.part_steps[1]} steps need {labels} labels, one per part and one per step, but "
            f"ring_size is {settings.ring_size}",
        )


class CompositionProblems(SymbolAnswers, ProblemsAspect):
    """Compositions."""

    strategies = (BY_PART,)
    suited = {"composition": BY_PART}
    openings = {}
    """No strategy can be told: a response takes one for each part."""

    def draw_problems(
        self, settings: Settings, problems: Problems, n_problems: int, split: str, seed: int
    ) -> list[Composition]:
        """Draw distinct compositions, shuffled and spread evenly over numbers of parts."""
        field, numbers = settings.field, problems.difficulties
        compositions = []
        for position, n in enumerate(numbers):
            rng = random.Random(f"compositions/{seed}/{split}/{field.order}/{n}")
            wanted = n_problems // len(numbers) + (position < n_problems % len(numbers))
            found: dict[tuple, Composition] = {}
            while len(found) < wanted:
                composition = draw_composition(field, n, settings.part_steps, settings.ring_size, rng)
                content = content_of(composition)
                if split_of(field, content, settings.split_shares) == split:
                    found.setdefault((content, tuple(part.problem_type for part in composition.parts)), composition)
            compositions += found.values()
        random.Random(f"order/{seed}/{split}").shuffle(compositions)
        return compositions

    def to_row(self, composition: Composition) -> dict:
        """Return a composition as text and as its parts; operations and operands of all parts follow one another."""
        parts = composition.parts
        return {
            "problem_type": composition.problem_type,
            "part_types": [part.problem_type for part in parts],
            "part_steps": [part.n_steps for part in parts],
            "operations": [operation for part in parts for operation in part.operations],
            "operands": [operand for part in parts for operand in part.operands],
            "starts": [part.start for part in parts],
            "ends": [part.end for part in parts],
            "first_labels": [part.first_label for part in parts],
            "ring_size": parts[0].ring_size,
            "n_parts": composition.n_parts,
            "n_steps": composition.n_steps,
            "prompt": composition.prompt,
            "answer": composition.answer,
        }

    def from_row(self, row: dict) -> Composition:
        parts, first = [], 0
        for number, problem_type in enumerate(row["part_types"]):
            steps = slice(first, first + row["part_steps"][number])
            start, end, label = (int(row[name][number]) for name in ("starts", "ends", "first_labels"))
            operations, operands = tuple(row["operations"][steps]), tuple(map(int, row["operands"][steps]))
            parts.append(Problem(str(problem_type), operations, operands, start, end, label, int(row["ring_size"])))
            first = steps.stop
        return Composition(tuple(parts))

    def content_of(self, composition: Composition) -> tuple:
        return content_of(composition)

    def longest_response(self, settings: Settings, n_steps: int) -> list[str]:
        # A part has at least one step besides its opening.
        openings = ["find-start"] * (n_steps // 2)
        return [*longest_steps(settings, n_steps), *openings, "answer", f"e{settings.field_order - 1}"]

    def refuse_problems(
        self, settings: Settings, problems: Problems, n_problems: int, split: str
    ) -> Iterator[tuple[str, str]]:
        """Find compositions with more labels than the ring, and more of them than can be drawn in reasonable time."""
        fewest = problems.parts[0]
        longest, order = settings.part_steps[1], settings.field_order
        if mistakes := list(too_few_labels(settings, problems)):
            # Such compositions would take long to count.
            yield from mistakes
            return
        wanted = -(-n_problems // len(problems.difficulties))
        # Either type of part, for each chain of its steps.
        exist = (2 * count_chains(order, longest) / order) ** fewest * order
        # They are drawn until enough are distinct, which takes long where nearly all are wanted.
        if wanted > 0.75 * exist * settings.split_shares[split]:
            yield (
                "n_problems",
                f"asks for {wanted} problems of {fewest} parts, more than three quarters of what split '{split}' of GF({order}) "
                "holds; ask for fewer, or for more parts or steps",
            )
