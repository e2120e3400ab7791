"""What the base model of the laptop scale reads: skills that are not strategies.

The documents are drills of single operations, and problems that are worked in a direction drawn at random, without regard to which end
is asked for::

    e3 +e5 e8  e2 *e7 e1 …
    start e3 s7 +e5 s8 *e2 end ? find-end | forward e3 s7 +e5 e8 s8 *e2 e4 answer e4
    start e3 s7 +e5 s8 *e2 end ? find-end | backward guess e6 s8 /e2 e9 s7 -e5 e1 answer e6

So a model that read them can do arithmetic, follow a chain either way, guess what is hidden, and answer. It cannot know what suits a
problem: the direction is independent of the problem's type, and guesses are random. Backward chains are rarer, and past the first
few steps they hold mistakes. Where mistakes are systematic, a model that read them is wrong however it is decoded, and only what is taught
later can mend it; where they are random, greedy decoding does not make them.

No chain of an RL or a test problem is among them: all are of the splits that SFT draws from.
"""

import random
from collections.abc import Callable, Iterator

from selectimprove.tasks.chains.problems import PROBLEM_TYPES, SUITED, Problem, run_chain, split_of
from selectimprove.tasks.chains.settings import Documents, Settings
from selectimprove.tasks.chains.strategies import steps_of
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import Document, DocumentsAspect

SPLITS = ("sft_train", "sft_validation")
"""The splits whose chains a base model may read."""

WORDS = ("end", "?", "find-start", "find-end", "forward", "backward", "guess", "answer")


def fill_batch(
    documents: Documents, field: FiniteField, batch_size: int, rng: random.Random, work: Callable[[int], Document]
) -> list[Document]:
    """Fill a batch with what `work` makes of a number of steps, and with drills about as long.

    Chains of one batch share their length: less padding, the same distribution over batches.
    """
    n_drills = round(batch_size * documents.drill_share)
    n_steps = rng.randint(1, documents.max_chain_steps)
    worked = [work(n_steps) for _ in range(batch_size - n_drills)]
    longest = max((len(document.prompt) + len(document.response) for document in worked), default=60)
    return [*worked, *(drill(field, longest // 3, rng) for _ in range(n_drills))]


def draw_operation(field: FiniteField, operations: str, rng: random.Random) -> tuple[str, int]:
    """Draw one of some operations and an operand, never a zero to multiply or divide by."""
    operation = rng.choice(operations)
    elements = [e for e in range(field.order) if operation in "+-" or e != field.zero]
    return operation, rng.choice(elements)


def drill(field: FiniteField, n: int, rng: random.Random) -> Document:
    """Draw single operations, of which the results are learned."""
    words = []
    for _ in range(max(n, 2)):
        value = rng.randrange(field.order)
        operation, operand = draw_operation(field, "+-*/", rng)
        words += [f"e{value}", f"{operation}e{operand}", f"e{field.apply(operation, value, operand)}"]
    return Document([], words, (False, False, True) * (len(words) // 3))


def work_chain(
    settings: Settings, documents: Documents, field: FiniteField, n_steps: int, rng: random.Random
) -> Document:
    """Draw a problem and work it in a direction drawn without regard to its type."""
    order = settings.field_order
    direction = "backward" if rng.random() < documents.backward_share else "forward"
    while True:
        operations, operands = zip(*(draw_operation(field, "+*", rng) for _ in range(n_steps)), strict=True)
        start = rng.randrange(order)
        if split_of(field, (start, operations, operands), settings.split_shares) in SPLITS:
            break
    problem = Problem(
        rng.choice(PROBLEM_TYPES),
        operations,
        operands,
        start,
        run_chain(field, start, operations, operands),
        rng.randrange(settings.ring_size),
        settings.ring_size,
    )
    guesses = SUITED[problem.problem_type] != direction
    guess = rng.randrange(order)
    value = guess if guesses else problem.given
    words = [direction, *(["guess"] if guesses else []), f"e{value}"]
    for position, (label, operation, operand) in enumerate(steps_of(problem, direction)):
        value = field.apply(operation, value, operand)
        unsound = direction == "backward" and position >= documents.backward_sound_steps
        if unsound and rng.random() < documents.backward_error:
            systematic = documents.backward_error_kind == "systematic"
            value = (value + (1 if systematic else rng.randrange(1, order))) % order
        words += [label, f"{operation}e{operand}", f"e{value}"]
    answer = f"e{guess if guesses else value}"
    return Document(problem.prompt.split(), [*words, "answer", answer, Document.END])


def nothing_to_read(settings: Settings) -> Iterator[tuple[str, str]]:
    """Find splits that leave too little to read: a chain is drawn until it is of one that may be read."""
    if sum(settings.split_shares[split] for split in SPLITS) < 0.01:
        yield (
            "max_chain_steps",
            f"no chains to read: they are those of the splits {' and '.join(SPLITS)}, whose shares add up to less than 0.01",
        )


class ChainDocuments(DocumentsAspect):
    """Documents of chains."""

    def vocabulary(self, settings: Settings) -> list[str]:
        """List the tokens: a word each, so two tokens per step in prompts and three in responses."""
        elements = [f"e{symbol}" for symbol in range(settings.field_order)]
        steps = [operation + element for operation in "+-*/" for element in elements]
        labels = [f"s{position}" for position in range(settings.ring_size)]
        return ["start", *(f" {word}" for word in [*WORDS, *labels, *elements, *steps])]

    def draw_documents(
        self, settings: Settings, documents: Documents, batch_size: int, rng: random.Random
    ) -> list[Document]:
        """Draw a batch of problems worked in either direction, and of drills."""
        field = settings.field
        return fill_batch(
            documents, field, batch_size, rng, lambda n_steps: work_chain(settings, documents, field, n_steps, rng)
        )

    def refuse_documents(self, settings: Settings, documents: Documents) -> Iterator[tuple[str, str]]:
        """Find chains with more steps than labels, and splits that leave no chain to read."""
        if documents.max_chain_steps > settings.ring_size:
            yield (
                "max_chain_steps",
                f"{documents.max_chain_steps} steps need as many labels, but ring_size is {settings.ring_size}",
            )
        yield from nothing_to_read(settings)
