"""Evaluation and inversion problems, and the forward and the backward response to them.

A chain never multiplies by zero, so it is a bijection and every problem has exactly one answer (paper, task section)::

    start e3 s7 +e5 s8 *e2 end ? find-end        evaluation: find the value at the end
    start ? s7 +e5 s8 *e2 end e4 find-start      inversion: find the value at the start

The step labels run along a ring from a random first one. They let a small model point at a step by its content: with
positions alone it learns nothing that carries over to longer chains than those of its training (our reconstruction).

*Forward* carries a value through the chain in order; *backward* undoes the chain from its end with inverse operations.
Forward suits evaluation, backward suits inversion. An unsuited response first guesses the hidden value, carries the
guess through the whole chain to check it, and answers the guess (our reconstruction, which explains the paper's score
of about 1/p in every unsuited cell of Table 1). Demonstrations guess right. Those of the first problem are::

    forward e3 s7 +e5 e8 s8 *e2 e4 answer e4
    backward guess e4 s8 /e2 e8 s7 -e5 e3 answer e4
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from itertools import product
from random import Random

from selectimprove.tasks.chains.settings import Problems, Settings
from selectimprove.tasks.field import INVERSE, FiniteField
from selectimprove.tasks.interface import ProblemsAspect, Refusals
from selectimprove.tasks.shared import QUESTIONS, SymbolProblems, split_of_content

PROBLEM_TYPES = Settings.problem_types
ENUMERABLE = 200_000
"""Up to this many chains of one length are listed and shuffled; beyond, chains are drawn until enough differ."""


@dataclass(frozen=True)
class Problem:
    """A chain of steps with one end hidden; values and operands are symbols."""

    problem_type: str
    operations: tuple[str, ...]
    operands: tuple[int, ...]
    start: int
    end: int
    first_label: int
    """Ring position of the first step's label."""
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
    def content(self) -> tuple:
        """The chain without the type, so that both problems on a chain are in the same split."""
        return self.start, self.operations, self.operands

    @property
    def steps(self) -> list[tuple[str, str, int]]:
        """The label, operation and operand of each step."""
        labels = (f"s{(self.first_label + step) % self.ring_size}" for step in range(self.n_steps))
        return list(zip(labels, self.operations, self.operands, strict=True))

    @property
    def prompt(self) -> str:
        start, end = (f"e{self.start}", "?") if self.problem_type == "evaluation" else ("?", f"e{self.end}")
        steps = " ".join(f"{label} {operation}e{operand}" for label, operation, operand in self.steps)
        return f"start {start} {steps} end {end} {QUESTIONS[self.problem_type]}"


def run_chain(field: FiniteField, start: int, operations: tuple[str, ...], operands: tuple[int, ...]) -> int:
    """Return the value at the end of a chain."""
    value = start
    for operation, operand in zip(operations, operands, strict=True):
        value = field.apply(operation, value, operand)
    return value


def count_chains(order: int, n_steps: int) -> int:
    """Count the distinct chains: a start, and per step one of p additions or p - 1 multiplications."""
    return order * (2 * order - 1) ** n_steps


@cache
def count_in_split(field: FiniteField, n_steps: int, split: str, shares: tuple[tuple[str, float], ...]) -> int:
    """List the chains of a length, and count those of a split."""
    return sum(split_of(field, chain, dict(shares)) == split for chain in _draw_chains(field, n_steps, Random(0)))


def split_of(field: FiniteField, chain: tuple, split_shares: dict[str, float]) -> str:
    """Return the split of a chain ``(start, operations, operands)``."""
    start, operations, operands = chain
    return split_of_content(f"GF({field.order}) {start} {''.join(operations)} {operands}", split_shares)


def possible_steps(field: FiniteField) -> list[tuple[str, int]]:
    """List the operations and operands that a step of a problem can have."""
    return [(operation, e) for operation in "+*" for e in range(field.order) if (operation, e) != ("*", field.zero)]


def _draw_chains(field: FiniteField, n_steps: int, rng: Random) -> Iterator[tuple]:
    choices = possible_steps(field)
    if count_chains(field.order, n_steps) <= ENUMERABLE:
        steps = [tuple(zip(*steps, strict=True)) for steps in product(choices, repeat=n_steps)]
        chains = [(start, *chain) for start in range(field.order) for chain in steps]
        rng.shuffle(chains)
        yield from chains
    while count_chains(field.order, n_steps) > ENUMERABLE:
        yield (rng.randrange(field.order), *zip(*(rng.choice(choices) for _ in range(n_steps)), strict=True))


def cell_counts(problems: Problems, n_problems: int) -> dict[tuple[str, int], int]:
    """Count the problems of each type and difficulty; difficulties have equal numbers within a type."""
    difficulties, counts = problems.difficulties, {}
    for problem_type, n in problems.count_types(n_problems).items():
        for position, difficulty in enumerate(difficulties):
            counts[problem_type, difficulty] = n // len(difficulties) + (position < n % len(difficulties))
    return counts


def steps_of(problem: Problem, strategy: str) -> list[tuple[str, str, int]]:
    """List the label, operation and operand of each step, in the order in which a strategy takes them."""
    if strategy == "forward":
        return problem.steps
    return [(label, INVERSE[operation], operand) for label, operation, operand in reversed(problem.steps)]


def work_steps(field: FiniteField, problem: Problem, strategy: str, value: int) -> tuple[list[str], int]:
    """Take a strategy's steps from a first value; return the words, ``e3 s7 +e5 e8``, and the last result."""
    words = [f"e{value}"]
    for label, operation, operand in steps_of(problem, strategy):
        value = field.apply(operation, value, operand)
        words += [label, f"{operation}e{operand}", f"e{value}"]
    return words, value


def longest_steps(settings: Settings, n_steps: int) -> list[str]:
    """List the words of `n_steps` steps with the longest symbol and the longest label."""
    symbol = f"e{settings.field_order - 1}"
    return [f"s{settings.ring_size - 1}", f"/{symbol}", symbol] * n_steps


class ChainProblems(SymbolProblems, ProblemsAspect):
    """Problems of chains."""

    def draw_problems(self, settings: Settings, problems: Problems, n: int, split: str, seed: int) -> list[Problem]:
        """Draw problems on distinct chains, shuffled; a chain occurs with one type only."""
        field, split_shares, ring_size = settings.field, settings.split_shares, settings.ring_size
        if n and not split_shares[split]:
            raise ValueError(f"{n} problems asked for, but the share of split '{split}' is 0")
        drawn = []
        counts = cell_counts(problems, n)
        for n_steps in problems.difficulties:
            rng = Random(f"problems/{seed}/{split}/{field.order}/{n_steps}")
            wanted = [t for t in PROBLEM_TYPES for _ in range(counts[t, n_steps])]
            found: dict[tuple, Problem] = {}
            for chain in _draw_chains(field, n_steps, rng):
                if len(found) == len(wanted):
                    break
                if chain not in found and split_of(field, chain, split_shares) == split:
                    start, operations, operands = chain
                    end, label = run_chain(field, *chain), rng.randrange(ring_size)
                    found[chain] = Problem(wanted[len(found)], operations, operands, start, end, label, ring_size)
            if len(found) < len(wanted):
                asked = f"{len(wanted)} problems of {n_steps} steps asked for"
                raise ValueError(f"{asked}, but split '{split}' of GF({field.order}) holds only {len(found)}")
            drawn += found.values()
        Random(f"order/{seed}/{split}").shuffle(drawn)
        return drawn

    def from_row(self, row: dict) -> Problem:
        values = {field.name: row[field.name] for field in fields(Problem)}
        tuples = {"operations": tuple(row["operations"]), "operands": tuple(map(int, row["operands"]))}
        return Problem(**values | tuples)

    def longest_response(self, settings: Settings, n_steps: int) -> list[str]:
        symbol = f"e{settings.field_order - 1}"
        return [*longest_steps(settings, n_steps), "backward", "guess", symbol, "answer", symbol]

    def refuse_problems(self, settings: Settings, problems: Problems, n: int, split: str) -> Refusals:
        """Refuse more steps than labels, and more problems of the fewest steps than the split holds."""
        order, (fewest, most) = settings.field_order, problems.steps
        if most > settings.ring_size:
            yield "steps", f"{most} steps need as many labels, but ring_size is {settings.ring_size}"
            return
        wanted = -(-n // len(problems.difficulties))
        # Hashes decide on splits, so the size of one is not exactly its share.
        n_chains, share = count_chains(order, fewest), settings.split_shares[split]
        exist = int(n_chains * share - 6 * (n_chains * share) ** 0.5)
        if wanted > exist and n_chains <= ENUMERABLE:
            exist = count_in_split(settings.field, fewest, split, tuple(settings.split_shares.items()))
        if wanted > exist:
            asked = f"asks for {wanted} problems of {fewest} steps, but {exist} can be drawn"
            yield "n_problems", f"{asked} from split '{split}' of GF({order}); ask for fewer, or for more steps"
