"""Evaluation and inversion problems: chains of additions and multiplications in a finite field.

A chain never multiplies by zero, so it is a bijection and every problem has exactly one answer (paper, task section).
A problem reads::

    start e3 s7 +e5 s8 *e2 end ? find-end        evaluation: which value comes out
    start ? s7 +e5 s8 *e2 end e4 find-start      inversion: which value went in

The step labels run along a ring from a random first one. They let a small model point at a step by its content: with
positions alone nothing carries over to chains longer than those it was trained on (our reconstruction).
"""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import product

from selectimprove.tasks.chains.settings import Problems, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import ProblemsAspect
from selectimprove.tasks.reward import SymbolAnswers
from selectimprove.tasks.splits import split_of_content

PROBLEM_TYPES = Settings.problem_types
STRATEGIES = ("forward", "backward")
SUITED = {"evaluation": "forward", "inversion": "backward"}
"""The strategy that reaches the answer of each problem type without a guess."""
QUESTIONS = {"evaluation": "find-end", "inversion": "find-start"}
ENUMERABLE = 200_000
"""Chains of one length are drawn from a full list where there are at most this many, else by rejection."""


@dataclass(frozen=True)
class Problem:
    """A chain of steps of which one end is hidden.

    Parameters
    ----------
    problem_type : {'evaluation', 'inversion'}
    operations : tuple of str
        ``+`` or ``*``, one per step.
    operands : tuple of int
        Symbols, one per step.
    start, end : int
        The symbols before the first and after the last step.
    first_label : int
        Ring position of the first step's label.
    ring_size : int
        Number of labels on the ring; at least the number of steps.
    """

    problem_type: str
    operations: tuple[str, ...]
    operands: tuple[int, ...]
    start: int
    end: int
    first_label: int
    ring_size: int

    @property
    def n_steps(self) -> int:
        return len(self.operations)

    @property
    def given(self) -> int:
        """The end of the chain that the prompt shows."""
        return self.start if self.problem_type == "evaluation" else self.end

    @property
    def answer(self) -> int:
        """The end of the chain that the prompt hides."""
        return self.end if self.problem_type == "evaluation" else self.start

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"s{(self.first_label + step) % self.ring_size}" for step in range(self.n_steps))

    @property
    def prompt(self) -> str:
        evaluation = self.problem_type == "evaluation"
        steps = (
            f"{label} {operation}e{operand}"
            for label, operation, operand in zip(self.labels, self.operations, self.operands, strict=True)
        )
        start, end = (f"e{self.start}", "?") if evaluation else ("?", f"e{self.end}")
        return f"start {start} {' '.join(steps)} end {end} {QUESTIONS[self.problem_type]}"


def run_chain(field: FiniteField, start: int, operations: tuple[str, ...], operands: tuple[int, ...]) -> int:
    """Return the value that the chain makes of `start`."""
    value = start
    for operation, operand in zip(operations, operands, strict=True):
        value = field.apply(operation, value, operand)
    return value


def count_chains(order: int, n_steps: int) -> int:
    """Count the distinct chains: a start, and per step one of p additions or p - 1 multiplications."""
    return order * (2 * order - 1) ** n_steps


def split_of(field: FiniteField, chain: tuple, split_shares: dict[str, float]) -> str:
    """Tell to which split a chain, ``(start, operations, operands)``, belongs.

    Its type does not matter: an inversion problem of the test set never shows up as an evaluation problem in training.
    """
    start, operations, operands = chain
    return split_of_content(f"GF({field.order}) {start} {''.join(operations)} {operands}", split_shares)


def _draw_chains(field: FiniteField, n_steps: int, rng: random.Random) -> Iterator[tuple]:
    elements = range(field.order)
    choices = [(operation, e) for operation in "+*" for e in elements if (operation, e) != ("*", field.zero)]
    if count_chains(field.order, n_steps) <= ENUMERABLE:
        chains = [
            (start, *zip(*steps, strict=True)) for start in elements for steps in product(choices, repeat=n_steps)
        ]
        rng.shuffle(chains)
        yield from chains
    while count_chains(field.order, n_steps) > ENUMERABLE:
        yield (rng.randrange(field.order), *zip(*(rng.choice(choices) for _ in range(n_steps)), strict=True))


def cell_counts(problems: Problems, n_problems: int) -> dict[tuple[str, int], int]:
    """Spread problems evenly over numbers of steps, and over types by their share.

    Returns
    -------
    dict of (str, int) to int
        Problems per (problem type, number of steps); adds up to `n_problems`.
    """
    lengths, counts = problems.difficulties, {}
    for problem_type, n in problems.count_types(n_problems).items():
        for position, n_steps in enumerate(lengths):
            counts[problem_type, n_steps] = n // len(lengths) + (position < n % len(lengths))
    return counts


def longest_steps(settings: Settings, n_steps: int) -> list[str]:
    """List the words of so many steps, with the symbol and the label that have most digits."""
    symbol = f"e{settings.field_order - 1}"
    return [f"s{settings.ring_size - 1}", f"/{symbol}", symbol] * n_steps


class ChainProblems(SymbolAnswers, ProblemsAspect):
    """Problems of chains."""

    strategies = STRATEGIES
    suited = SUITED
    openings = {strategy: strategy for strategy in STRATEGIES}

    def draw_problems(
        self, settings: Settings, problems: Problems, n_problems: int, split: str, seed: int
    ) -> list[Problem]:
        """Draw distinct chains, shuffled. No chain occurs twice, not even with different types."""
        field, split_shares, ring_size = settings.field, settings.split_shares, settings.ring_size
        if n_problems and not split_shares[split]:
            raise ValueError(f"{n_problems} problems asked for, but the share of split '{split}' is 0")
        drawn = []
        counts = cell_counts(problems, n_problems)
        for n_steps in problems.difficulties:
            rng = random.Random(f"problems/{seed}/{split}/{field.order}/{n_steps}")
            wanted = [t for t in PROBLEM_TYPES for _ in range(counts[t, n_steps])]
            seen = set()
            for chain in _draw_chains(field, n_steps, rng):
                if len(seen) == len(wanted):
                    break
                if chain in seen or split_of(field, chain, split_shares) != split:
                    continue
                problem_type = wanted[len(seen)]
                seen.add(chain)
                start, operations, operands = chain
                end = run_chain(field, start, operations, operands)
                drawn.append(
                    Problem(problem_type, operations, operands, start, end, rng.randrange(ring_size), ring_size)
                )
            if len(seen) < len(wanted):
                raise ValueError(
                    f"{len(wanted)} problems of {n_steps} steps asked for, but split '{split}' of GF({field.order}) "
                    f"holds only {len(seen)}"
                )
        random.Random(f"order/{seed}/{split}").shuffle(drawn)
        return drawn

    def to_row(self, problem: Problem) -> dict:
        return {**asdict(problem), "n_steps": problem.n_steps, "prompt": problem.prompt, "answer": problem.answer}

    def from_row(self, row: dict) -> Problem:
        values = {field.name: row[field.name] for field in fields(Problem)}
        return Problem(
            **values | {"operations": tuple(row["operations"]), "operands": tuple(map(int, row["operands"]))}
        )

    def content_of(self, problem: Problem) -> tuple:
        return problem.start, problem.operations, problem.operands

    def longest_response(self, settings: Settings, n_steps: int) -> list[str]:
        symbol = f"e{settings.field_order - 1}"
        return [*longest_steps(settings, n_steps), "backward", "guess", symbol, "answer", symbol]

    def refuse_problems(
        self, settings: Settings, problems: Problems, n_problems: int, split: str
    ) -> Iterator[tuple[str, str]]:
        """Find more steps than labels, and more problems than the split holds of the number of steps with the fewest chains."""
        if problems.steps[1] > settings.ring_size:
            yield "steps", f"{problems.steps[1]} steps need as many labels, but ring_size is {settings.ring_size}"
            return
        wanted = -(-n_problems // len(problems.difficulties))
        exist = int(count_chains(settings.field_order, problems.steps[0]) * settings.split_shares[split])
        if wanted > exist:
            yield (
                "n_problems",
                f"asks for {wanted} problems of {problems.steps[0]} steps, but about {exist} exist in split '{split}' of "
                f"GF({settings.field_order}); ask for fewer, or for more steps",
            )
