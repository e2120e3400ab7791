"""What the base model reads of compositions: what Qwen2.5 knows of answering one thing after another.

The documents are compositions whose parts are worked in directions drawn without regard to what they ask for, as those of chains, and
of which only the first few are worked: after each, a coin decides whether to go on or to answer::

    start e3 s7 find-end s8 +e5 s9 *e2 s10 find-start s11 +e1 end ? | s7 find-end forward e3 s8 +e5 e8 s9 *e2 e4 answer e4

So the base model can go on to a next part, but cannot know that it should. No composition of an RL or a test problem is among them.
"""

import random
from collections.abc import Iterator

from selectimprove.tasks.chains.documents import SPLITS, ChainDocuments, fill_batch, nothing_to_read
from selectimprove.tasks.chains.problems import STRATEGIES, SUITED, split_of
from selectimprove.tasks.compositions.problems import content_of, draw_composition, too_few_labels, work_part
from selectimprove.tasks.compositions.settings import Documents, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import Document


def work_first_parts(settings: Settings, documents: Documents, field: FiniteField, rng: random.Random) -> Document:
    """Draw a composition and work its first parts, as many as the coin decides."""
    n_parts = rng.randint(*documents.parts)
    composition = None
    while composition is None or split_of(field, content_of(composition), settings.split_shares) not in SPLITS:
        composition = draw_composition(field, n_parts, settings.part_steps, settings.ring_size, rng)
    words, value = [], composition.given
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


class CompositionDocuments(ChainDocuments):
    """Documents of compositions."""

    def draw_documents(
        self, settings: Settings, documents: Documents, batch_size: int, rng: random.Random
    ) -> list[Document]:
        """Draw a batch of compositions worked in part, and of drills."""
        field = settings.field
        return fill_batch(
            documents, field, batch_size, rng, lambda _: work_first_parts(settings, documents, field, rng)
        )

    def refuse_documents(self, settings: Settings, documents: Documents) -> Iterator[tuple[str, str]]:
        """Find compositions with too few labels, and splits that leave nothing to read."""
        yield from too_few_labels(settings, documents)
        yield from nothing_to_read(settings)
