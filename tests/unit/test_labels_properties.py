"""Correct responses and mutations of them, in several fields and of any length."""

from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chain_responses import CHAINS, label_generation, respond, trace_text
from second_code import answers_rightly
from selectimprove.tasks.chains.labels import FIRST_ERRORS
from selectimprove.tasks.chains.problems import PROBLEM_TYPES, Problem, run_chain
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.shared import STRATEGIES, SUITED

FIELDS = {order: FiniteField(order) for order in (2, 3, 11, 13)}
OPERANDS = [f"{operation}e{e}" for operation in "+-*/" for e in range(14)]
WORDS = [
    *(f"e{e}" for e in (*range(14), 99, 12345)),
    *(f"s{s}" for s in range(20)),
    *OPERANDS,
    *("forward", "backward", "guess", "answer", "start", "end", "find-end", "?", "e", "e-1", "answer e1"),
]
few = settings(max_examples=60, deadline=None)


@st.composite
def problems(draw, orders=tuple(FIELDS), min_steps=1, types=PROBLEM_TYPES):
    field = FIELDS[draw(st.sampled_from(orders))]
    element = st.integers(0, field.order - 1)
    step = st.tuples(st.sampled_from("+*"), element).filter(lambda step: step != ("*", field.zero))
    operations, operands = zip(*draw(st.lists(step, min_size=min_steps, max_size=9)), strict=True)
    start, first_label = draw(element), draw(st.integers(0, 19))
    end = run_chain(field, start, operations, operands)
    return field, Problem(draw(st.sampled_from(types)), operations, operands, start, end, first_label, 20)


@st.composite
def responses(draw, **limits):
    """A problem, a strategy and the words of the correct response up to its first value, of each step, and at its end."""
    field, problem = draw(problems(**limits))
    strategy = draw(st.sampled_from(STRATEGIES))
    words = respond(field, problem, strategy).split()
    head = 2 if strategy == SUITED[problem.problem_type] else 3
    triples = [words[i : i + 3] for i in range(head, len(words) - 2, 3)]
    return field, problem, strategy, words[:head], triples, words[-2:]


def label(field, problem, head, triples, tail):
    return label_generation(field, problem, " ".join([*head, *chain.from_iterable(triples), *tail]))


def other_element(data, field, word):
    return data.draw(st.sampled_from([f"e{e}" for e in range(field.order) if f"e{e}" != word]))


@pytest.mark.parametrize(
    ("problem_type", "strategy", "response"),
    [
        ("evaluation", "forward", "forward e3 s7 +e5 e8 s8 *e2 e4 answer e4"),
        ("evaluation", "backward", "backward guess e4 s8 /e2 e8 s7 -e5 e3 answer e4"),
        ("inversion", "forward", "forward guess e3 s7 +e5 e8 s8 *e2 e4 answer e3"),
        ("inversion", "backward", "backward e4 s8 /e2 e8 s7 -e5 e3 answer e3"),
    ],
)
def test_responses_read_as_documented(problem_type, strategy, response):
    """The seed is one that makes e3 + e5 = e8 and e8 * e2 = e4, as the documentation has it."""
    problem = Problem(problem_type, ("+", "*"), (5, 2), 3, 4, 7, 20)
    assert respond(FiniteField(11, relabel_seed=141), problem, strategy) == response


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from(STRATEGIES))
def test_a_correct_response_is_labelled_with_its_strategy_and_without_error(given, strategy):
    field, problem = given
    guessed = strategy != {"evaluation": "forward", "inversion": "backward"}[problem.problem_type]
    fine = [True] * problem.n_steps
    found = label_generation(field, problem, respond(field, problem, strategy))
    assert vars(found) == {
        "strategy": strategy,
        "guessed": guessed,
        "step_in_order": fine,
        "step_right": fine,
        "first_error": "none",
        "first_error_step": -1,
        "answer": problem.answer,
        "correct": True,
    }


@few
@given(responses(), st.sampled_from([[], ["forward"], ["backward"]]))
def test_the_word_for_a_strategy_does_not_count(given, word):
    field, problem, strategy, head, triples, tail = given
    found = label(field, problem, word + head[1:], triples, tail)
    assert found == label(field, problem, head, triples, tail)
    assert (found.strategy, found.first_error) == (strategy, "none")


@few
@given(responses(), st.data())
def test_a_wrong_result_is_an_arithmetic_error_and_makes_the_next_step_wrong_too(given, data):
    field, problem, strategy, head, triples, tail = given
    at = data.draw(st.integers(0, len(triples) - 1))
    triples[at][2] = other_element(data, field, triples[at][2])
    found = label(field, problem, head, triples, tail)
    assert (found.strategy, found.first_error, found.first_error_step) == (strategy, "arithmetic", at)
    assert found.step_right == [position not in (at, at + 1) for position in range(len(triples))]
    assert all(found.step_in_order)
    assert found.correct


@few
@given(responses(min_steps=3), st.data())
def test_a_dropped_step_breaks_the_order_or_is_missing_at_the_end(given, data):
    field, problem, strategy, head, triples, tail = given
    at = data.draw(st.integers(0, len(triples) - 1))
    del triples[at]
    found = label(field, problem, head, triples, tail)
    error = "missing" if at == len(triples) else "order"
    assert (found.strategy, found.first_error, found.first_error_step) == (strategy, error, at)
    assert found.step_in_order == [position < at for position in range(len(triples))]


@few
@given(responses(min_steps=3), st.data())
def test_two_steps_in_the_wrong_order_break_the_order(given, data):
    field, problem, strategy, head, triples, tail = given
    at = data.draw(st.integers(0, len(triples) - 2))
    triples[at], triples[at + 1] = triples[at + 1], triples[at]
    found = label(field, problem, head, triples, tail)
    assert (found.strategy, found.first_error, found.first_error_step) == (strategy, "order", at)


@few
@given(responses(orders=(11, 13), min_steps=3), st.data())
def test_another_operation_or_operand_behind_the_right_label_is_an_operation_error(given, data):
    field, problem, strategy, head, triples, tail = given
    at = data.draw(st.integers(0, len(triples) - 1))
    triples[at][1] = data.draw(st.sampled_from([o for o in OPERANDS if int(o[2:]) < 11 and o != triples[at][1]]))
    found = label(field, problem, head, triples, tail)
    assert (found.strategy, found.first_error, found.first_error_step) == (strategy, "operation", at)


@few
@given(responses(min_steps=2), st.data())
def test_a_step_too_many_is_extra(given, data):
    field, problem, strategy, head, triples, tail = given
    extra = [data.draw(st.sampled_from(words)) for words in (["s0", "s7"], ["+e0", "-e1", "/e0", "*e1"], ["e0", "e1"])]
    found = label(field, problem, head, [*triples, extra], tail)
    assert (found.strategy, found.first_error, found.first_error_step) == (strategy, "extra", len(triples))
    assert found.correct


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_whole_trace_keeps_its_strategy_when_the_chain_is_then_run_back_as_a_check(strategy):
    field = FIELDS[11]
    problem = Problem("inversion", ("+", "*"), (5, 2), 3, run_chain(field, 3, "+*", (5, 2)), 7, 20)
    there, back = (trace_text(field, problem, *run) for run in (("forward", problem.start), ("backward", problem.end)))
    first, second = (there, back) if strategy == "forward" else (back, there)
    text = f"{first} {second.split(maxsplit=1)[1]} answer e{problem.answer}"
    found = label_generation(field, problem, text)
    assert (found.strategy, found.first_error, found.first_error_step) == (strategy, "extra", 2)


@few
@given(responses(), st.data())
def test_a_division_by_zero_is_never_right(given, data):
    field, problem, _, head, triples, tail = given
    result = data.draw(st.integers(0, field.order - 1))
    found = label(field, problem, head, [*triples, ["s0", f"/e{field.zero}", f"e{result}"]], tail)
    assert found.step_right == [True] * len(triples) + [False]


@few
@given(responses(), st.data())
def test_another_answer_than_the_trace_found_is_an_answer_error(given, data):
    field, problem, strategy, head, triples, tail = given
    wrong = data.draw(st.sampled_from([other_element(data, field, tail[1]), "e99"]))
    found = label(field, problem, head, triples, ["answer", wrong])
    assert (found.strategy, found.first_error, found.answer) == (strategy, "answer", int(wrong[1:]))
    assert not found.correct


@few
@given(problems(), st.data())
def test_a_wrong_guess_carried_without_error_is_a_guess_error(given, data):
    field, problem = given
    strategy = {"evaluation": "backward", "inversion": "forward"}[problem.problem_type]
    guess = other_element(data, field, f"e{problem.answer}")
    trace = trace_text(field, problem, strategy, int(guess[1:]))
    found = label_generation(field, problem, f"{strategy} guess {trace} answer {guess}")
    assert (found.strategy, found.guessed, found.first_error) == (strategy, True, "guess")
    assert all(found.step_right)
    assert not found.correct


@few
@given(problems(), st.data())
def test_a_suited_trace_from_another_value_than_the_given_one_is_a_start_error(given, data):
    field, problem = given
    strategy = SUITED[problem.problem_type]
    begin = other_element(data, field, f"e{problem.given}")
    trace = trace_text(field, problem, strategy, int(begin[1:]))
    found = label_generation(field, problem, f"{strategy} {trace} answer {trace.split()[-1]}")
    assert (found.strategy, found.first_error) == (strategy, "start")
    assert all(found.step_right)
    assert not found.correct


@few
@given(responses(), st.data())
def test_a_response_cut_short_is_a_format_error(given, data):
    field, problem, strategy, head, triples, tail = given
    words = [*head, *chain.from_iterable(triples), *tail]
    kept = data.draw(st.integers(0, len(words) - 1))
    found = label_generation(field, problem, " ".join(words[:kept]))
    assert (found.first_error, found.answer, found.correct) == ("format", None, False)
    whole_steps = max(0, kept - len(head)) // 3
    assert found.strategy == (strategy if whole_steps > problem.n_steps / 2 else "other")


@few
@given(responses(), st.sampled_from(WORDS))
def test_a_word_behind_the_answer_is_a_format_error(given, word):
    field, problem, strategy, head, triples, tail = given
    found = label(field, problem, head, triples, [*tail, word.split()[0]])
    assert (found.strategy, found.first_error, found.correct) == (strategy, "format", False)


def assert_label_is_valid(field, problem, text):
    found = label_generation(field, problem, text)
    assert found.strategy in CHAINS.label_strategies
    assert found.first_error in FIRST_ERRORS
    assert len(found.step_in_order) == len(found.step_right) > found.first_error_step or found.first_error == "missing"
    assert CHAINS.reward(text, problem.answer) == float(found.correct)
    return found


@settings(max_examples=200, deadline=None)
@given(problems(), st.text())
def test_any_text_gets_a_label(given, text):
    assert_label_is_valid(*given, text)


@settings(max_examples=300, deadline=None)
@given(problems(), st.lists(st.sampled_from(WORDS), max_size=25), st.none() | st.sampled_from([*range(14), 99]))
def test_label_and_reward_agree_on_the_answer(given, words, answer):
    field, problem = given
    words = " ".join(words).split() + ([] if answer is None else ["answer", f"e{answer}"])
    found = assert_label_is_valid(field, problem, " ".join(words))
    answers = [e for e in range(10_000) if words[-2:] == ["answer", f"e{e}"]]
    assert found.answer == (answers[0] if answers else None)
    assert found.correct == (words[-2:] == ["answer", f"e{problem.answer}"])


ANSWERS = ["answer", "e7", "e07", "e10", "e٧", "e７", "e007", "e7.", "E7", "e+7", "ｅ7", "answer e7", "\u200be7"]
SPACES = [" ", "\n", "\t", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u200b", "\ufeff", ""]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([*ANSWERS, *SPACES, "s7"]) | st.text(max_size=3), max_size=8), st.sampled_from([7, 10]))
@example(["answer", " ", "e07"], 7)
@example(["answer", " ", "e٧"], 7)
def test_the_reward_is_what_an_audit_finds_by_other_code_in_any_script(parts, answer):
    text = "".join(parts)
    assert CHAINS.reward(text, answer) == float(answers_rightly(text, CHAINS.answer_text(answer)))


def test_a_response_of_a_million_words_is_read_to_its_end():
    # Copying what is left at every step would take half an hour.
    field = FIELDS[11]
    end = field.apply("+", 3, 1)
    problem = Problem("evaluation", ("+",), (1,), 3, end, 0, 64)
    response = f"forward e3 s0 +e1 e{end}{' s1 +e1 e5' * 333_000} answer e5"
    found = label_generation(field, problem, response)
    assert (found.first_error, found.first_error_step, len(found.step_right)) == ("extra", 1, 333_001)
    assert found.answer == 5


def without_head(words):
    words = words[1:] if words[:1] in (["forward"], ["backward"]) else words
    return words[1:] if words[:1] == ["guess"] else words


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from(STRATEGIES), st.data())
def test_no_error_is_found_in_correct_responses_alone(given, strategy, data):
    field, problem = given
    words = respond(field, problem, strategy).split()
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        words[at : at + data.draw(st.integers(0, 1))] = data.draw(st.sampled_from(WORDS)).split()
    found = assert_label_is_valid(field, problem, " ".join(words))
    right = [without_head(respond(field, problem, s).split()) for s in STRATEGIES]
    assert (found.first_error == "none") == (without_head(words) in right)
