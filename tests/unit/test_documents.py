"""What base models read: no chain of an RL or a test problem, and mistakes of the kind that was asked for."""

import random
from collections import Counter

import pytest

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.config.params import Case
from selectimprove.tasks.chains.problems import run_chain, split_of
from selectimprove.tasks.interface import load_task

READ = {"sft_train", "sft_validation"}
CASES = {task: Case(load_params(ROOT / "params.yaml"), task) for task in ("chains", "compositions")}


def read(task: str, n_batches: int = 40, **changes) -> list:
    """Draw documents that have a prompt."""
    case, rng = CASES[task], random.Random(task)
    documents = case.section.documents.model_copy(update=changes)
    draw = load_task(task).draw_documents
    batches = [draw(case.settings, documents, 32, rng) for _ in range(n_batches)]
    return [document for batch in batches for document in batch if document.prompt]


def chain_of(field, words: list[str], given: int, is_start: bool) -> tuple:
    """Rebuild a chain from its steps as a prompt has them, and one of its ends; the other by trying all."""
    operations, operands = tuple(word[0] for word in words), tuple(int(word[2:]) for word in words)
    starts = (
        [given] if is_start else [s for s in range(field.order) if run_chain(field, s, operations, operands) == given]
    )
    return starts[0], operations, operands


def test_no_chain_of_an_rl_or_a_test_problem_is_read():
    settings = CASES["chains"].settings
    found = Counter()
    for document in read("chains"):
        words = document.prompt
        steps, start, end = words[3:-3:2], words[1], words[-2]
        chain = chain_of(settings.field, steps, int((end if start == "?" else start)[1:]), start != "?")
        found[split_of(settings.field, chain, settings.split_shares)] += 1
    assert set(found) == READ


def test_no_composition_of_an_rl_or_a_test_problem_is_read():
    settings = CASES["compositions"].settings
    field, found = settings.field, Counter()
    for document in read("compositions"):
        value, rest = int(document.prompt[1][1:]), document.prompt[2:-2]
        parts: list[tuple[str, list[str]]] = []
        for word in rest[1::2]:
            if word.startswith("find-"):
                parts.append((word, []))
            else:
                parts[-1][1].append(word)
        chains = []
        for question, steps in parts:
            chains.append(chain_of(field, steps, value, question == "find-end"))
            start, operations, operands = chains[-1]
            value = run_chain(field, start, operations, operands) if question == "find-end" else start
        starts, operations, operands = zip(*chains, strict=True)
        content = chains[0] if len(chains) == 1 else (starts, tuple(map("".join, operations)), operands)
        found[split_of(field, content, settings.split_shares)] += 1
    assert set(found) == READ


@pytest.mark.parametrize("kind", ["systematic", "random"])
def test_mistakes_are_of_the_kind_that_is_asked_for_and_as_frequent(kind):
    settings, sound = CASES["chains"].settings, CASES["chains"].section.documents.backward_sound_steps
    offsets, early = Counter(), Counter()
    for document in read("chains", 200, backward_error=0.6, backward_error_kind=kind):
        if document.response[0] != "backward":
            continue
        words = document.response[1:-3]
        words = words[1:] if words[0] == "guess" else words
        value = int(words[0][1:])
        for position, (step, result) in enumerate(zip(words[2::3], words[3::3], strict=True)):
            right = settings.field.apply(step[0], value, int(step[2:]))
            value = int(result[1:])
            (offsets if position >= sound else early)[(value - right) % settings.field_order] += 1
    assert set(early) == {0}
    assert 1 - offsets[0] / offsets.total() == pytest.approx(0.6, abs=0.05)
    assert set(offsets) == ({0, 1} if kind == "systematic" else set(range(11)))
