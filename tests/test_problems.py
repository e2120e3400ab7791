"""Problems: each has one answer, and each chain one split."""

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectimprove import problems as problems_module
from selectimprove.field import FiniteField
from selectimprove.problems import (
    ENUMERABLE,
    PROBLEM_TYPES,
    Problem,
    cell_counts,
    count_chains,
    draw_problems,
    run_chain,
    split_of,
)

SHARES = {"sft_train": 0.4, "sft_validation": 0.1, "rl": 0.25, "test": 0.25}
GF11 = FiniteField(11)


def draw(n_problems=60, steps=(2, 4), evaluation_share=0.5, split="rl", seed=0, field=GF11, shares=SHARES):
    return draw_problems(field, n_problems, steps, evaluation_share, split, shares, 20, seed)


def chain_of(problem):
    return problem.start, problem.operations, problem.operands


def all_chains(field, n_steps):
    steps = [("+", e) for e in range(field.order)]
    steps += [("*", e) for e in range(field.order) if field.apply("+", 0, e) != 0]
    for start, *chosen in product(range(field.order), *[steps] * n_steps):
        yield start, tuple(operation for operation, _ in chosen), tuple(operand for _, operand in chosen)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([2, 3, 11, 13]), st.integers(0, 3), st.data())
def test_a_chain_without_multiplication_by_zero_is_a_bijection(order, seed, data):
    field = FiniteField(order, seed)
    step = st.tuples(st.sampled_from("+*"), st.integers(0, order - 1)).filter(lambda s: s != ("*", field.zero))
    operations, operands = zip(*data.draw(st.lists(step, min_size=1, max_size=9)), strict=True)
    assert {run_chain(field, start, operations, operands) for start in range(order)} == set(range(order))


def test_every_drawn_problem_has_exactly_one_answer():
    for problem in draw(100, (2, 9)):
        ends = {start: run_chain(GF11, start, problem.operations, problem.operands) for start in range(11)}
        if problem.problem_type == "evaluation":
            assert (problem.given, problem.answer) == (problem.start, ends[problem.start])
        else:
            assert [start for start, end in ends.items() if end == problem.given] == [problem.answer]


def test_an_evaluation_problem_hides_its_end():
    problem = Problem("evaluation", ("+", "*"), (5, 2), 3, 4, 7, 20)
    assert problem.prompt == "start e3 s7 +e5 s8 *e2 end ? find-end"


def test_an_inversion_problem_hides_its_start():
    problem = Problem("inversion", ("+", "*", "+"), (5, 2, 10), 3, 4, 18, 20)
    assert problem.prompt == "start ? s18 +e5 s19 *e2 s0 +e10 end e4 find-start"


def test_labels_follow_each_other_on_the_ring():
    problems = draw(200, (2, 9))
    for problem in problems:
        positions = [int(label.removeprefix("s")) for label in problem.labels]
        assert all((after - before) % 20 == 1 for before, after in zip(positions, positions[1:], strict=False))
        assert set(positions) <= set(range(20))
    assert {problem.first_label for problem in problems} == set(range(20))


def test_the_same_seed_draws_the_same_problems_and_another_seed_others():
    assert draw(seed=3) == draw(seed=3)
    assert len({chain_of(p) for p in draw(seed=3)} & {chain_of(p) for p in draw(seed=4)}) < 30


def test_no_chain_is_drawn_twice():
    drawn = draw(600, (2, 2))
    assert len({chain_of(problem) for problem in drawn}) == len(drawn) == 600


@pytest.mark.parametrize("evaluation_share", [0, 0.3, 0.5, 1])
def test_drawn_problems_are_balanced_over_types_and_steps(evaluation_share):
    cells = Counter((p.problem_type, p.n_steps) for p in draw(80, (2, 5), evaluation_share))
    shares = {"evaluation": evaluation_share, "inversion": 1 - evaluation_share}
    assert cells == Counter({(t, n): round(20 * shares[t]) for t in PROBLEM_TYPES for n in range(2, 6)})


@given(st.integers(1, 500), st.integers(1, 9), st.integers(0, 8), st.floats(0, 1))
def test_cells_add_up_and_lengths_of_a_type_differ_by_one_problem_at_most(n_problems, fewest, more, evaluation_share):
    counts = cell_counts(n_problems, (fewest, fewest + more), evaluation_share)
    by_type = {t: [counts[t, n] for n in range(fewest, fewest + more + 1)] for t in PROBLEM_TYPES}
    assert sum(counts.values()) == n_problems
    assert len(counts) == 2 * (more + 1)
    assert all(max(cells) - min(cells) <= 1 for cells in by_type.values())
    assert abs(sum(by_type["evaluation"]) - n_problems * evaluation_share) <= 0.5


@pytest.mark.parametrize("split", SHARES)
def test_drawn_chains_belong_to_the_split(split):
    assert {split_of(GF11, chain_of(problem), SHARES) for problem in draw(split=split)} == {split}


def test_splits_share_no_chain_whatever_the_seed_the_steps_and_the_type():
    asked = product((0, 1), ((2, 4), (2, 2), (3, 7)), (0, 0.5, 1))
    drawn = {split: set() for split in SHARES}
    for seed, steps, evaluation_share in asked:
        for split in SHARES:
            drawn[split] |= {chain_of(p) for p in draw(60, steps, evaluation_share, split, seed)}
    assert sum(map(len, drawn.values())) == len(set().union(*drawn.values()))


def test_splits_own_their_shares_of_the_chains():
    owned = Counter(split_of(GF11, chain, SHARES) for chain in all_chains(GF11, 2))
    assert all(abs(owned[split] / owned.total() - share) < 0.03 for split, share in SHARES.items())


@pytest.mark.parametrize(("order", "n_steps"), [(2, 1), (2, 4), (3, 1), (3, 3), (5, 2), (11, 2)])
def test_chains_are_counted_as_enumerated(order, n_steps):
    assert count_chains(order, n_steps) == len(set(all_chains(FiniteField(order), n_steps)))


def test_every_chain_can_be_drawn_and_one_more_than_there_are_raises():
    field = FiniteField(3, 1)
    chains = set(all_chains(field, 2))
    sizes = Counter(split_of(field, chain, SHARES) for chain in chains)
    drawn = [draw(n, (2, 2), split=split, field=field) for split, n in sizes.items()]
    assert {chain_of(problem) for problems in drawn for problem in problems} == chains
    for split, n in sizes.items():
        with pytest.raises(ValueError, match=rf"{n + 1} problems of 2 steps .*'{split}' of GF\(3\) holds only {n}"):
            draw(n + 1, (2, 2), split=split, field=field)


@pytest.mark.parametrize("steps", [(4, 4), (6, 9), (20, 20)])
def test_chains_too_many_to_list_are_drawn_by_rejection(steps):
    assert count_chains(11, steps[0]) > ENUMERABLE
    drawn = draw(120, steps, split="test")
    assert len({chain_of(problem) for problem in drawn}) == 120
    assert {problem.n_steps for problem in drawn} == set(range(steps[0], steps[1] + 1))
    for problem in drawn:
        assert split_of(GF11, chain_of(problem), SHARES) == "test"
        assert ("*", GF11.zero) not in zip(problem.operations, problem.operands, strict=True)
        assert problem.end == run_chain(GF11, problem.start, problem.operations, problem.operands)


def test_a_split_that_owns_nothing_raises_where_chains_are_drawn_by_rejection(monkeypatch):
    looked_at = 0

    def patient_split_of(*arguments):
        nonlocal looked_at
        looked_at += 1
        assert looked_at < 5000, "still drawing"
        return split_of(*arguments)

    monkeypatch.setattr(problems_module, "split_of", patient_split_of)
    with pytest.raises(ValueError, match="holds only 0"):
        draw(4, (6, 6), split="rl", shares={"sft_train": 0.5, "rl": 0.0, "test": 0.5})
