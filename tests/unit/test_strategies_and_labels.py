import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_responses import label_generation, respond, trace_text
from selectimprove.tasks.chains.labels import FIRST_ERRORS
from selectimprove.tasks.chains.problems import Problem, run_chain
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.shared import STRATEGIES, SUITED, answer_of

GF11 = FiniteField(11, relabel_seed=2)


@st.composite
def problems(draw, least=2):
    n = draw(st.integers(least, 9))
    operations = tuple(draw(st.lists(st.sampled_from("+*"), min_size=n, max_size=n)))
    operands = tuple(draw(st.sampled_from([e for e in range(11) if e != GF11.zero])) for _ in range(n))
    start = draw(st.integers(0, 10))
    end = run_chain(GF11, start, operations, operands)
    return Problem(
        draw(st.sampled_from(list(SUITED))), operations, operands, start, end, draw(st.integers(0, 19)), ring_size=20
    )


PROBLEM = Problem("evaluation", ("+", "*", "+"), (5, 2, 7), 3, run_chain(GF11, 3, "+*+", (5, 2, 7)), 7, 20)


def test_a_response_reads_as_documented():
    a, b = GF11.apply("+", 3, 5), GF11.apply("*", GF11.apply("+", 3, 5), 2)
    problem = Problem("evaluation", ("+", "*"), (5, 2), 3, b, 7, 20)
    assert respond(GF11, problem, "forward") == f"forward e3 s7 +e5 e{a} s8 *e2 e{b} answer e{b}"
    assert respond(GF11, problem, "backward") == f"backward guess e{b} s8 /e2 e{a} s7 -e5 e3 answer e{b}"


@settings(deadline=None)
@given(problems(least=1), st.sampled_from(STRATEGIES))
def test_a_correct_response_is_labelled_as_what_it_is(problem, strategy):
    label = label_generation(GF11, problem, respond(GF11, problem, strategy))
    assert (label.strategy, label.first_error, label.correct) == (strategy, "none", True)
    assert label.guessed == (strategy != SUITED[problem.problem_type])
    assert label.step_in_order == label.step_right == [True] * problem.n_steps


@settings(deadline=None)
@given(problems(), st.sampled_from(STRATEGIES), st.data())
def test_one_wrong_result_is_an_arithmetic_error_at_its_step(problem, strategy, data):
    words = respond(GF11, problem, strategy).split()
    first = 2 + (strategy != SUITED[problem.problem_type])
    step = data.draw(st.integers(0, problem.n_steps - 1))
    place = first + 3 * step + 2
    words[place] = f"e{(int(words[place][1:]) + data.draw(st.integers(1, 10))) % 11}"
    label = label_generation(GF11, problem, " ".join(words))
    assert (label.first_error, label.first_error_step, label.strategy) == ("arithmetic", step, strategy)
    assert not label.step_right[step]


@settings(deadline=None)
@given(problems(), st.sampled_from(STRATEGIES))
def test_the_trace_decides_and_not_the_word_before_it(problem, strategy):
    words = respond(GF11, problem, strategy).split()
    other = "backward" if strategy == "forward" else "forward"
    for said in ([other, *words[1:]], words[1:]):
        assert label_generation(GF11, problem, " ".join(said)).strategy == strategy


@settings(deadline=None)
@given(problems(), st.sampled_from(STRATEGIES), st.integers(1, 10))
def test_a_wrong_guess_carried_without_error_fails_by_the_guess_alone(problem, strategy, shift):
    if strategy == SUITED[problem.problem_type]:
        return
    guess = (problem.answer + shift) % 11
    text = f"{strategy} guess {trace_text(GF11, problem, strategy, guess)} answer e{guess}"
    label = label_generation(GF11, problem, text)
    assert (label.first_error, label.correct, label.guessed) == ("guess", False, True)


@pytest.mark.parametrize(
    ("edit", "error", "step"),
    [
        (lambda w: [*w[:-1], f"e{(int(w[-1][1:]) + 1) % 11}"], "answer", -1),
        (lambda w: w[:-2], "format", -1),
        (lambda w: w[:5], "other", None),
        (lambda w: [w[0], "e4", *w[2:]], "start", -1),
        (lambda w: [*w[:2], *w[5:]], "order", 0),
        (lambda w: [*w[:3], "+e6", *w[4:]], "operation", 0),
        (lambda w: [*w[:-2], "s10", "+e0", f"e{GF11.apply('+', int(w[-1][1:]), 0)}", *w[-2:]], "extra", 3),
        (lambda w: [*w[:8], "answer", w[7]], "missing", 2),
        (lambda w: [], "format", -1),
        (lambda w: [*w[:4], "what", *w[4:]], "format", -1),
    ],
)
def test_the_first_error_is_named(edit, error, step):
    label = label_generation(GF11, PROBLEM, " ".join(edit(respond(GF11, PROBLEM, "forward").split())))
    if error == "other":
        assert label.strategy == "other"
    else:
        assert (label.first_error, label.first_error_step) == (error, step)


def test_pieces_of_responses_are_labelled_without_failing():
    rng = random.Random(0)
    words = respond(GF11, PROBLEM, "forward").split() + respond(GF11, PROBLEM, "backward").split()
    for _ in range(3000):
        text = " ".join(rng.choices(words, k=rng.randrange(30)))
        assert label_generation(GF11, PROBLEM, text).first_error in FIRST_ERRORS


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("… answer e4", 4),
        ("answer e4 e5", None),
        ("answer", None),
        ("", None),
        ("the answer is e4", None),
        ("answer 4", None),
    ],
)
def test_only_the_last_two_words_answer(text, answer):
    assert answer_of(text) == answer
