"""The texts that the base model reads of compositions: Qwen2.5, too, can answer one thing after another.

The documents are compositions with parts worked in random directions, as in documents of chains. Only the first few
parts are worked: after each, a coin decides whether to go on or to answer::

    start e3 s7 find-end s8 +e5 s9 *e2 s10 find-start s11 +e1 end ?
    | s7 find-end forward e3 s8 +e5 e8 s9 *e2 e4 answer e4

So the base model can go on to a next part, but cannot know that it should. None is of an RL or a test problem.
"""

from random import Random

from selectimprove.tasks.chains.documents import ChainDocuments
from selectimprove.tasks.chains.problems import split_of
from selectimprove.tasks.compositions.problems import draw_composition, too_few_labels, work_part
from selectimprove.tasks.compositions.settings import Documents, Settings
from selectimprove.tasks.interface import Document, Refusals
from selectimprove.tasks.shared import READ_SPLITS, STRATEGIES, SUITED, nothing_to_read


class CompositionDocuments(ChainDocuments):
    """Documents of compositions."""

    def work(self, settings: Settings, documents: Documents, n_steps: int, rng: Random) -> Document:
        """Draw a composition and work its first parts; `n_steps` counts for drills only."""
        field, n_parts, composition = settings.field, rng.randint(*documents.parts), None
        while composition is None or split_of(field, composition.content, settings.split_shares) not in READ_SPLITS:
            composition = draw_composition(settings, n_parts, rng)
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
        """Refuse compositions with too few labels, and splits that leave nothing to read."""
        yield from too_few_labels(settings, documents)
        yield from nothing_to_read(settings.split_shares, "max_chain_steps", "chains")
