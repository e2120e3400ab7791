import re
from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.tasks.chains.problems import (
    PROBLEM_TYPES,
    Problem,
    cell_counts,
    count_chains,
    run_chain,
    split_of,
)
from selectimprove.tasks.chains.settings import Problems, Settings
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import load_task

GF11 = FiniteField(11)
SHARES = {"sft_train": 0.4, "sft_validation": 0.1, "rl": 0.25, "test": 0.25}


def draw(split="test", n=200, steps=(2, 5), share=0.5, seed=0, field=GF11):
    task = Settings(field_order=field.order, relabel_seed=field.relabel_seed, ring_size=20, split_shares=SHARES)
    return load_task("chains").draw_problems(task, Problems(steps=steps, evaluation_share=share), n, split, seed)


def chain(problem):
    return problem.start, problem.operations, problem.operands


@pytest.mark.parametrize(("order", "n_steps"), [(5, 1), (5, 2), (7, 1), (7, 2), (11, 1)])
@pytest.mark.parametrize("split", SHARES)
def test_as_many_problems_as_are_said_to_fit_can_be_drawn_and_no_more(order, n_steps, split):
    task = Settings(field_order=order, relabel_seed=0, ring_size=20, split_shares=SHARES)
    problems, chains = Problems(steps=(n_steps, n_steps), evaluation_share=0.5), load_task("chains")
    ((key, why),) = chains.refuse_problems(task, problems, 10_000, split)
    fits = int(re.search(r"but (\d+) can be drawn", why)[1])
    assert key == "n_problems"
    assert not list(chains.refuse_problems(task, problems, fits, split))
    assert len(chains.draw_problems(task, problems, fits, split, 0)) == fits
    assert list(chains.refuse_problems(task, problems, fits + 1, split))
    with pytest.raises(ValueError, match=f"holds only {fits}"):
        chains.draw_problems(task, problems, fits + 1, split, 0)


def test_every_problem_has_exactly_one_answer():
    for problem in draw(n=100, steps=(1, 9)):
        ends = [run_chain(GF11, start, problem.operations, problem.operands) for start in range(11)]
        assert sorted(ends) == list(range(11))
        assert ends[problem.start] == problem.end
        assert problem.answer == (problem.end if problem.problem_type == "evaluation" else problem.start)


def test_a_prompt_reads_as_documented():
    parts = {"operations": ("+", "*"), "operands": (5, 2), "start": 3, "end": 4, "first_label": 19, "ring_size": 20}
    assert Problem("evaluation", **parts).prompt == "start e3 s19 +e5 s0 *e2 end ? find-end"
    assert Problem("inversion", **parts).prompt == "start ? s19 +e5 s0 *e2 end e4 find-start"


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_splits_share_no_chain_whatever_the_seed_and_the_steps(seeds):
    chains = [
        {chain(p) for steps in ((2, 2), (2, 5), (1, 9)) for p in draw(split, 200, steps, seed=seed)}
        for split, seed in zip(("test", "rl"), seeds, strict=True)
    ]
    assert chains[0]
    assert chains[1]
    assert not chains[0] & chains[1]


def test_splits_own_about_their_share_of_all_chains():
    choices = [("+", e) for e in range(11)] + [("*", e) for e in range(11) if e != GF11.zero]
    chains = [(start, *zip(*steps, strict=True)) for start in range(11) for steps in product(choices, repeat=2)]
    assert len(chains) == count_chains(11, 2)
    counts = Counter(split_of(GF11, c, SHARES) for c in chains)
    for split, share in SHARES.items():
        assert counts[split] / len(chains) == pytest.approx(share, abs=0.03)


def test_drawing_is_determined_by_the_seed():
    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 300), st.tuples(st.integers(2, 4), st.integers(4, 8)), st.floats(0, 1))
def test_types_and_steps_are_balanced(n, steps, share):
    problems = draw(n=n, steps=steps, share=share)
    assert len({chain(p) for p in problems}) == len(problems) == n
    counts = Counter((p.problem_type, p.n_steps) for p in problems)
    assert counts == {
        cell: count for cell, count in cell_counts(Problems(steps=steps, evaluation_share=share), n).items() if count
    }
    assert abs(sum(counts["evaluation", k] for k in range(20)) - n * share) <= 0.5
    for problem_type in PROBLEM_TYPES:
        per_length = [counts[problem_type, k] for k in range(steps[0], steps[1] + 1)]
        assert max(per_length) - min(per_length) <= 1


def test_nothing_is_multiplied_by_zero():
    steps = [step for p in draw(n=300) for step in zip(p.operations, p.operands, strict=True)]
    assert ("*", GF11.zero) not in steps
    assert ("+", GF11.zero) in steps


def test_more_problems_than_exist_are_refused():
    with pytest.raises(ValueError, match="of 1 steps asked for, but split 'test' of GF\\(11\\) holds only"):
        draw(n=1000, steps=(1, 1))
