"""Compositions: their answers by brute force, their splits, and labels that name what first goes wrong."""

import itertools
import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.tasks.compositions.labels import FIRST_ERRORS
from selectimprove.tasks.compositions.problems import (
    draw_composition,
    part_label,
    respond,
)
from selectimprove.tasks.compositions.settings import Problems, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import load_task

TASK = load_task("compositions")
SHARES = {"sft_train": 0.4, "sft_validation": 0.1, "rl": 0.25, "test": 0.25}
RING = 20
FIELD = FiniteField(11, 0)


def settings_of(part_steps: tuple[int, int]) -> Settings:
    return Settings(field_order=11, relabel_seed=0, ring_size=RING, split_shares=SHARES, part_steps=part_steps)


def label_of(composition, text: str) -> SimpleNamespace:
    return SimpleNamespace(**TASK.label(settings_of((1, 2)), composition, text))


def composition_of(seed: int, n_parts: int):
    return draw_composition(settings_of((1, 2)), n_parts, random.Random(seed))


def answer_by_search(prompt: str) -> int:
    """Solve a composition from its prompt alone, trying every value at each part."""
    words = prompt.split()
    value, rest = int(words[1][1:]), words[2:-2]
    parts: list[tuple[str, list[str]]] = []
    for label, word in zip(rest[::2], rest[1::2], strict=True):
        assert label[0] == "s"
        if word.startswith("find-"):
            parts.append((word, []))
        else:
            parts[-1][1].append(word)
    for question, steps in parts:
        ends = {}
        for start in range(FIELD.order):
            end = start
            for step in steps:
                end = FIELD.apply(step[0], end, int(step[2:]))
            ends[start] = end
        value = ends[value] if question == "find-end" else next(s for s, end in ends.items() if end == value)
    return value


@given(seed=st.integers(0, 10**6), n_parts=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_the_answer_is_that_of_a_search_and_the_response_gives_it(seed, n_parts):
    composition = composition_of(seed, n_parts)
    response = respond(FIELD, composition)
    assert composition.answer == answer_by_search(composition.prompt)
    assert TASK.reward(response, composition.answer) == 1.0
    assert len(response.split()) == 3 * composition.n_steps + n_parts + 2
    label = label_of(composition, response)
    assert (label.first_error, label.n_right, label.correct) == ("none", n_parts, True)


@given(seed=st.integers(0, 10**6), n_parts=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_labels_run_on_through_parts_and_none_comes_twice(seed, n_parts):
    composition = composition_of(seed, n_parts)
    labels = [label for part in composition.parts for label in (part_label(part), *(label for label, *_ in part.steps))]
    positions = [int(label[1:]) for label in labels]
    assert len(set(labels)) == composition.n_steps
    assert all((b - a) % RING == 1 for a, b in itertools.pairwise(positions))


def test_tables_hold_all_of_a_composition():
    compositions = [composition_of(seed, 1 + seed % 6) for seed in range(30)]
    assert [TASK.from_row(TASK.to_row(composition)) for composition in compositions] == compositions


def test_splits_share_no_chains_and_are_spread_over_numbers_of_parts():
    task = settings_of((1, 2))
    drawn = {
        split: TASK.draw_problems(task, Problems(parts=(1, 2)), 200, split, seed)
        for seed, split in enumerate(("sft_train", "rl", "test"))
    }
    chains = {split: {c.content for c in compositions} for split, compositions in drawn.items()}
    for one in drawn:
        for other in drawn:
            assert one == other or not chains[one] & chains[other]
    for compositions in drawn.values():
        assert [sum(c.n_parts == n for c in compositions) for n in (1, 2)] == [100, 100]
        assert len({c.prompt for c in compositions}) > 190


def spoil(words: list[str], at: int, word: str) -> str:
    return " ".join([*words[:at], word, *words[at + 1 :]])


def other(value: str) -> str:
    """Return another symbol of the field, or step with another operand."""
    head, number = value.rsplit("e", 1)
    return f"{head}e{(int(number) + 1) % FIELD.order}"


@pytest.mark.parametrize("seed", range(10))
def test_the_first_error_is_named(seed):
    composition = draw_composition(settings_of((2, 2)), 3, random.Random(seed))
    words = respond(FIELD, composition).split()
    second = 10

    def found(text: str):
        label = label_of(composition, text)
        return label.first_error, label.n_right

    swapped = {"forward": "backward", "backward": "forward"}[words[second + 2]]
    asked = {"find-end": "find-start", "find-start": "find-end"}[words[second + 1]]
    wrong_label = f"s{(int(words[second][1:]) + 1) % RING}"
    assert found(spoil(words, second, wrong_label)) == ("step", 1)
    assert found(spoil(words, second + 4, words[second])) == ("step", 1)
    assert found(spoil(words, second + 1, asked)) == ("question", 1)
    assert found(spoil(words, second + 2, swapped)) == ("strategy", 1)
    assert found(spoil(words, second + 3, other(words[second + 3]))) == ("carry", 1)
    assert found(spoil(words, second + 5, other(words[second + 5]))) == ("step", 1)
    assert found(spoil(words, second + 6, other(words[second + 6]))) == ("arithmetic", 1)
    assert found(spoil(words, second, "guess")) == ("format", 1)
    assert found(spoil(words, len(words) - 1, other(words[-1]))) == ("answer", 3)
    assert found(" ".join([*words[:second], "answer", words[second - 1]])) == ("stop", 1)
    assert found(" ".join([*words[:-2], words[0], "find-end", "forward", "e0", *words[-2:]])) == ("stop", 3)
    assert found("") == ("format", 0)


@given(
    text=st.text(max_size=80)
    | st.lists(st.sampled_from(["s0", "s1", "forward", "backward", "e3", "+e5", "answer", "end"])).map(" ".join)
)
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_labels(text):
    composition = composition_of(1, 3)
    label = label_of(composition, text)
    assert label.first_error in FIRST_ERRORS
    assert 0 <= label.n_right <= 3
    assert label.correct == (label.answer == composition.answer)
