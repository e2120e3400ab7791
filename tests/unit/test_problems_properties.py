"""Chains and splits against enumeration, in fields small enough for it."""

from collections import Counter
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.tasks.chains.problems import ENUMERABLE, count_chains, run_chain, split_of
from selectimprove.tasks.chains.settings import Problems, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import load_task

SHARES = {"sft_train": 0.4, "sft_validation": 0.1, "rl": 0.25, "test": 0.25}
GF11 = FiniteField(11)


def draw(n_problems=60, steps=(4, 6), evaluation_share=0.5, split="rl", seed=0, field=GF11, shares=SHARES):
    task = Settings(field_order=field.order, relabel_seed=field.relabel_seed, ring_size=20, split_shares=shares)
    distribution = Problems(steps=steps, evaluation_share=evaluation_share)
    return load_task("chains").draw_problems(task, distribution, n_problems, split, seed)


def chain_of(problem):
    return problem.start, problem.operations, problem.operands


def all_chains(field, n_steps):
    steps = [("+", e) for e in range(field.order)]
    steps += [("*", e) for e in range(field.order) if field.apply("+", 0, e) != 0]
    return {(start, *zip(*chosen, strict=True)) for start, *chosen in product(range(field.order), *[steps] * n_steps)}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([2, 3, 11, 13]), st.integers(0, 3), st.data())
def test_a_chain_without_multiplication_by_zero_is_a_bijection(order, seed, data):
    field = FiniteField(order, seed)
    step = st.tuples(st.sampled_from("+*"), st.integers(0, order - 1)).filter(lambda s: s != ("*", field.zero))
    operations, operands = zip(*data.draw(st.lists(step, min_size=1, max_size=9)), strict=True)
    assert {run_chain(field, start, operations, operands) for start in range(order)} == set(range(order))


def test_what_the_prompt_gives_determines_the_answer():
    for problem in draw():
        ends = [run_chain(GF11, start, problem.operations, problem.operands) for start in range(11)]
        if problem.problem_type == "evaluation":
            assert (problem.given, problem.answer) == (problem.start, ends[problem.start])
        else:
            assert [start for start, end in enumerate(ends) if end == problem.given] == [problem.answer]


def test_labels_follow_each_other_on_the_ring_from_any_first_one():
    drawn = draw(200, (6, 9))
    for problem in drawn:
        positions = [int(label.removeprefix("s")) for label, *_ in problem.steps]
        assert all((after - before) % 20 == 1 for before, after in pairwise(positions))
        assert set(positions) <= set(range(20))
    assert {problem.first_label for problem in drawn} == set(range(20))


@pytest.mark.parametrize(("order", "n_steps"), [(2, 1), (2, 4), (3, 1), (3, 3), (5, 2), (11, 2)])
def test_chains_are_counted_as_enumerated(order, n_steps):
    assert count_chains(order, n_steps) == len(all_chains(FiniteField(order), n_steps))


def test_every_chain_can_be_drawn_and_one_more_than_there_are_is_refused():
    field = FiniteField(3, 1)
    chains = all_chains(field, 2)
    sizes = Counter(split_of(field, chain, SHARES) for chain in chains)
    drawn = [draw(n, (2, 2), split=split, field=field) for split, n in sizes.items()]
    assert {chain_of(problem) for problems in drawn for problem in problems} == chains
    for split, n in sizes.items():
        with pytest.raises(ValueError, match=rf"{n + 1} problems of 2 steps .*'{split}' of GF\(3\) holds only {n}"):
            draw(n + 1, (2, 2), split=split, field=field)


@pytest.mark.parametrize("split", SHARES)
def test_drawn_chains_belong_to_the_split(split):
    assert {split_of(GF11, chain_of(problem), SHARES) for problem in draw(split=split)} == {split}


def test_a_chain_is_in_one_split_even_as_another_type():
    drawn = {split: set() for split in SHARES}
    for split, seed, evaluation_share in product(SHARES, (0, 1), (0, 1)):
        drawn[split] |= {chain_of(p) for p in draw(300, (2, 2), evaluation_share, split, seed)}
    assert sum(map(len, drawn.values())) == len(set().union(*drawn.values()))


@pytest.mark.parametrize("steps", [(4, 4), (6, 9), (20, 20)])
def test_chains_too_many_to_list_are_drawn_too(steps):
    assert count_chains(11, steps[0]) > ENUMERABLE
    drawn = draw(120, steps, split="test")
    assert len({chain_of(problem) for problem in drawn}) == 120
    assert {problem.n_steps for problem in drawn} == set(range(steps[0], steps[1] + 1))
    for problem in drawn:
        assert ("*", GF11.zero) not in zip(problem.operations, problem.operands, strict=True)
        assert problem.end == run_chain(GF11, problem.start, problem.operations, problem.operands)
