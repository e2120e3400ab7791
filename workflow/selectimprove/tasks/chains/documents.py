"""The texts that the base model of the laptop scale reads: they teach skills, but not which strategy to choose.

The documents are drills of single operations, and problems that are worked in a random direction, whichever end the
prompt hides::

    e3 +e5 e8  e2 *e7 e1 …
    start e3 s7 +e5 s8 *e2 end ? find-end | forward e3 s7 +e5 e8 s8 *e2 e4 answer e4
    start e3 s7 +e5 s8 *e2 end ? find-end | backward guess e6 s8 /e2 e9 s7 -e5 e1 answer e6

So the model learns arithmetic, to follow a chain in both directions, to guess a hidden value, and to answer. It cannot
learn which strategy suits a problem: the direction is independent of the problem's type, and guesses are random.
Backward chains are rarer, and have mistakes after the first few steps. Systematic mistakes are learned, whatever the
decoding; greedy decoding avoids random ones. No document is an RL or a test problem.
"""

from random import Random

from selectimprove.tasks.chains.problems import PROBLEM_TYPES, Problem, run_chain, split_of, steps_of
from selectimprove.tasks.chains.settings import Documents, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import Document, DocumentsAspect, Refusals
from selectimprove.tasks.shared import QUESTIONS, READ_SPLITS, STRATEGIES, SUITED

WORDS = ("end", "?", *reversed(QUESTIONS.values()), *STRATEGIES, "guess", "answer")


def _draw_operation(field: FiniteField, operations: str, rng: Random) -> tuple[str, int]:
    operation = rng.choice(operations)
    return operation, rng.choice([e for e in range(field.order) if operation in "+-" or e != field.zero])


def _drill(field: FiniteField, n: int, rng: Random) -> Document:
    words = []
    for _ in range(max(n, 2)):
        value = rng.randrange(field.order)
        operation, operand = _draw_operation(field, "+-*/", rng)
        words += [f"e{value}", f"{operation}e{operand}", f"e{field.apply(operation, value, operand)}"]
    return Document([], words, (False, False, True) * (len(words) // 3))


class ChainDocuments(DocumentsAspect):
    """Documents of chains."""

    def vocabulary(self, settings: Settings) -> list[str]:
        """List the tokens, one per word: a step is two tokens in prompts and three in responses."""
        elements = [f"e{symbol}" for symbol in range(settings.field_order)]
        steps = [operation + element for operation in "+-*/" for element in elements]
        labels = [f"s{position}" for position in range(settings.ring_size)]
        return ["start", *(f" {word}" for word in [*WORDS, *labels, *elements, *steps])]

    def draw_documents(self, settings: Settings, documents: Documents, batch_size: int, rng: Random) -> list[Document]:
        """Draw worked problems on chains of one length, which saves padding, and drills that are about as long."""
        n_drills = round(batch_size * documents.drill_share)
        n_steps = rng.randint(1, documents.max_chain_steps)
        worked = [self.work(settings, documents, n_steps, rng) for _ in range(batch_size - n_drills)]
        longest = max((len(document.prompt) + len(document.response) for document in worked), default=60)
        return [*worked, *(_drill(settings.field, longest // 3, rng) for _ in range(n_drills))]

    def work(self, settings: Settings, documents: Documents, n_steps: int, rng: Random) -> Document:
        """Draw a problem and work it in a direction that is independent of its type."""
        field, ring_size = settings.field, settings.ring_size
        direction = "backward" if rng.random() < documents.backward_share else "forward"
        while True:
            operations, operands = zip(*(_draw_operation(field, "+*", rng) for _ in range(n_steps)), strict=True)
            chain = rng.randrange(field.order), operations, operands
            if split_of(field, chain, settings.split_shares) in READ_SPLITS:
                break
        problem_type, end = rng.choice(PROBLEM_TYPES), run_chain(field, *chain)
        problem = Problem(problem_type, operations, operands, chain[0], end, rng.randrange(ring_size), ring_size)
        guesses = SUITED[problem_type] != direction
        guess = rng.randrange(field.order)
        value = guess if guesses else problem.given
        words = [direction, *(["guess"] if guesses else []), f"e{value}"]
        for position, (label, operation, operand) in enumerate(steps_of(problem, direction)):
            value = field.apply(operation, value, operand)
            unsound = direction == "backward" and position >= documents.backward_sound_steps
            if unsound and rng.random() < documents.backward_error:
                systematic = documents.backward_error_kind == "systematic"
                value = (value + (1 if systematic else rng.randrange(1, field.order))) % field.order
            words += [label, f"{operation}e{operand}", f"e{value}"]
        answer = f"e{guess if guesses else value}"
        return Document(problem.prompt.split(), [*words, "answer", answer, Document.END])

    def refuse_documents(self, settings: Settings, documents: Documents) -> Refusals:
        """Refuse chains with more steps than labels."""
        steps, ring_size = documents.max_chain_steps, settings.ring_size
        if steps > ring_size:
            yield "max_chain_steps", f"{steps} steps need as many labels, but ring_size is {ring_size}"
