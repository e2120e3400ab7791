"""Compositions: problems of several parts, each given the answer of the part before, and the responses to them.

A part is an evaluation or an inversion problem. The prompt gives the value that the first part starts from, then each
part's question and steps. Labels run along the ring through questions and steps alike::

    start e3 s7 find-end s8 +e5 s9 *e2 s10 find-start s11 +e1 s12 *e3 end ?

The response works part after part, each in the strategy that suits it. A part opens with its label, its question, the
strategy and the value that is carried over::

    s7 find-end forward e3 s8 +e5 e8 s9 *e2 e4 s10 find-start backward e4 s12 /e3 e2 s11 -e1 e6 answer e6

The paper says only that compositions have two parts in SFT and three to five in RL; the rest is our reconstruction. An
opening repeats its question, as a step repeats its operation, so the label before them finds both in the prompt.

The base model reads drills, as in chains, and compositions with parts worked in random directions. After each part, a
coin decides whether to go on or to answer: like Qwen2.5, the base model can go on, but does not know that it should.
"""

from dataclasses import dataclass
from random import Random

from selectimprove.tasks.chains import problems as chains
from selectimprove.tasks.chains.documents import ChainDocuments
from selectimprove.tasks.chains.problems import Problem, run_chain
from selectimprove.tasks.compositions.settings import Demonstrations, Documents, Problems, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import DemonstrationsAspect, Document, ProblemsAspect, Refusals
from selectimprove.tasks.shared import QUESTIONS, READ_SPLITS, STRATEGIES, SUITED, SymbolProblems

BY_PART = "by part"
"""The strategy of every response, because each part may need another one."""
OPENING_WORDS = 4
"""Words that open a part of a response, before its steps of three words each."""


@dataclass(frozen=True)
class Composition:
    """Parts, each given the answer of the part before; a part's label is the one before its first step's."""

    parts: tuple[Problem, ...]

    problem_type = "composition"

    @property
    def n_parts(self) -> int:
        return len(self.parts)

    @property
    def n_steps(self) -> int:
        """Number of labels: one per part and one per step."""
        return sum(1 + part.n_steps for part in self.parts)

    @property
    def answer(self) -> int:
        return self.parts[-1].answer

    @property
    def content(self) -> tuple:
        """The chains of all parts in the form of one chain; a single part is in the split of its chain."""
        if self.n_parts == 1:
            return self.parts[0].content
        operations = tuple("".join(part.operations) for part in self.parts)
        return tuple(part.start for part in self.parts), operations, tuple(part.operands for part in self.parts)

    @property
    def prompt(self) -> str:
        words = ["start", f"e{self.parts[0].given}"]
        for part in self.parts:
            words += [part_label(part), QUESTIONS[part.problem_type]]
            for label, operation, operand in part.steps:
                words += [label, f"{operation}e{operand}"]
        return " ".join([*words, "end", "?"])


def part_label(part: Problem) -> str:
    """Return the label of a part."""
    return f"s{(part.first_label - 1) % part.ring_size}"


def work_part(field: FiniteField, part: Problem, strategy: str, value: int) -> tuple[list[str], int]:
    """Work a part from a first value; return the words, from the part's opening on, and the last result."""
    words, result = chains.work_steps(field, part, strategy, value)
    return [part_label(part), QUESTIONS[part.problem_type], strategy, *words], result


def respond(field: FiniteField, composition: Composition) -> str:
    """Write the correct response to a composition."""
    words = []
    for part in composition.parts:
        words += work_part(field, part, SUITED[part.problem_type], part.given)[0]
    return " ".join([*words, "answer", f"e{composition.answer}"])


def draw_composition(settings: Settings, n_parts: int, rng: Random) -> Composition:
    """Draw a composition with uniform types and numbers of steps."""
    field, ring_size, parts = settings.field, settings.ring_size, []
    choices = chains.possible_steps(field)
    label, given = rng.randrange(ring_size), rng.randrange(field.order)
    for _ in range(n_parts):
        n_steps = rng.randint(*settings.part_steps)
        operations, operands = zip(*(rng.choice(choices) for _ in range(n_steps)), strict=True)
        problem_type, start = rng.choice(chains.PROBLEM_TYPES), given
        if problem_type == "inversion":
            # A chain is a bijection, so exactly one start leads to the given end.
            start = next(e for e in range(field.order) if run_chain(field, e, operations, operands) == given)
        end = run_chain(field, start, operations, operands)
        part = Problem(problem_type, operations, operands, start, end, (label + 1) % ring_size, ring_size)
        parts.append(part)
        label, given = label + 1 + n_steps, part.answer
    return Composition(tuple(parts))


def too_few_labels(settings: Settings, asked: Problems | Documents) -> Refusals:
    """Refuse compositions that need more labels than the ring has."""
    n_parts, n_steps, ring_size = asked.parts[1], settings.part_steps[1], settings.ring_size
    if (labels := n_parts * (n_steps + 1)) > ring_size:
        needed = f"{n_parts} parts of {n_steps} steps need {labels} labels, one per part and one per step"
        yield "parts", f"{needed}, but ring_size is {ring_size}"


class CompositionTexts(SymbolProblems, ProblemsAspect, DemonstrationsAspect, ChainDocuments):
    """Problems, demonstrations and documents of compositions."""

    strategies = (BY_PART,)
    suited = {"composition": BY_PART}
    openings = {}
    """A model cannot be told a strategy: a response takes one per part."""

    def draw_problems(self, settings: Settings, problems: Problems, n: int, split: str, seed: int) -> list[Composition]:
        """Draw distinct compositions, shuffled and spread evenly over numbers of parts."""
        field, compositions = settings.field, []
        for (_, n_parts), wanted in chains.cell_counts(problems, n).items():
            rng = Random(f"compositions/{seed}/{split}/{field.order}/{n_parts}")
            found: dict[tuple, Composition] = {}
            while len(found) < wanted:
                composition = draw_composition(settings, n_parts, rng)
                if chains.split_of(field, composition.content, settings.split_shares) == split:
                    types = tuple(part.problem_type for part in composition.parts)
                    found.setdefault((composition.content, types), composition)
            compositions += found.values()
        Random(f"order/{seed}/{split}").shuffle(compositions)
        return compositions

    def demonstrate(
        self, settings: Settings, demonstrations: Demonstrations, problems: list[Composition], seed: int
    ) -> list[tuple[str, str]]:
        return [(BY_PART, respond(settings.field, composition)) for composition in problems]

    def to_row(self, composition: Composition) -> dict:
        """Return a composition as text and as its parts, whose steps are joined."""
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

    def longest_response(self, settings: Settings, n_steps: int) -> list[str]:
        # A part has at least one step besides its opening.
        openings = ["find-start"] * (n_steps // 2)
        return [*chains.longest_steps(settings, n_steps), *openings, "answer", f"e{settings.field_order - 1}"]

    def refuse_problems(self, settings: Settings, problems: Problems, n: int, split: str) -> Refusals:
        """Refuse compositions that need too many labels, and more compositions than can be drawn in reasonable time."""
        if mistakes := list(too_few_labels(settings, problems)):
            yield from mistakes
            return  # Such compositions would take long to count.
        fewest, order = problems.parts[0], settings.field_order
        wanted = -(-n // len(problems.difficulties))
        # A part has one of two types and any chain that contains its given value.
        exist = (2 * chains.count_chains(order, settings.part_steps[1]) / order) ** fewest * order
        # Compositions are drawn until enough differ; the last of a split would take long.
        if wanted > 0.75 * exist * settings.split_shares[split]:
            asked = f"asks for {wanted} problems of {fewest} parts, more than three quarters"
            reason = f"of what split '{split}' of GF({order}) holds; ask for fewer, or for more parts or steps"
            yield "n_problems", f"{asked} {reason}"

    def work(self, settings: Settings, documents: Documents, n_steps: int, rng: Random) -> Document:
        """Draw a composition and work its first parts; `n_steps` is the length of drills only."""
        field, n_parts = settings.field, rng.randint(*documents.parts)
        while True:
            composition = draw_composition(settings, n_parts, rng)
            if chains.split_of(field, composition.content, settings.split_shares) in READ_SPLITS:
                break
        words, value = [], composition.parts[0].given
        for part in composition.parts:
            strategy = rng.choice(STRATEGIES)
            suited = strategy == SUITED[part.problem_type]
            first_value = value if suited else rng.randrange(settings.field_order)
            worked, last_value = work_part(field, part, strategy, first_value)
            words += worked
            value = last_value if suited else first_value
            if rng.random() >= documents.part_continue:
                break
        return Document(composition.prompt.split(), [*words, "answer", f"e{value}", Document.END])

    def refuse_documents(self, settings: Settings, documents: Documents) -> Refusals:
        """Refuse compositions that need too many labels."""
        yield from too_few_labels(settings, documents)
