"""Chains asked or answered otherwise: the same chains, and nothing else changed."""

import random

import pytest

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.config.params import Case
from selectimprove.tasks.interface import load_task
from selectimprove.training.architecture import build_tokenizer

PARAMS = load_params(ROOT / "params.yaml")
CHAINS, REWRITTEN = Case(PARAMS, "chains"), Case(PARAMS, "rewritten_chains")
WRITTEN = [{}, {"question": "first"}, {"direction_words": False}, {"question": "first", "direction_words": False}]
DIRECTIONS = {"forward", "backward", "guess"}
TASK = load_task("rewritten_chains")


def settings_with(**written):
    return REWRITTEN.settings.model_copy(update=written)


def drawn(settings, n: int = 60) -> list:
    return TASK.draw_problems(settings, REWRITTEN.section.rl_problems["rl_6_9"], n, "rl", 3)


def answered(settings, problems, **mix) -> list[tuple[str, str]]:
    demonstrations = TASK.Demonstrations(**{"forward_share": 0.5} | mix)
    return TASK.demonstrate(settings, demonstrations, problems, 3)


@pytest.mark.parametrize("written", WRITTEN)
def test_a_seed_draws_the_problems_of_chains_asked_at_the_other_end(written):
    chains = load_task("chains")
    originals = chains.draw_problems(CHAINS.settings, CHAINS.section.rl_problems["rl_6_9"], 60, "rl", 3)
    for original, problem in zip(originals, drawn(settings_with(**written)), strict=True):
        assert chains.content_of(problem) == chains.content_of(original)
        assert sorted(problem.prompt.split()) == sorted(original.prompt.split())
        asks = problem.prompt.split()[0 if written.get("question") == "first" else -1]
        assert asks == ("find-end" if problem.problem_type == "evaluation" else "find-start")
        assert TASK.from_row(TASK.to_row(problem)) == problem


@pytest.mark.parametrize("written", WRITTEN)
def test_demonstrations_are_right_and_name_their_strategy_only_where_they_should(written):
    settings = settings_with(**written)
    problems = drawn(settings)
    for problem, (strategy, response) in zip(problems, answered(settings, problems), strict=True):
        label = TASK.label(settings, problem, response)
        assert (label["strategy"], label["first_error"], label["correct"]) == (strategy, "none", True)
        assert bool(DIRECTIONS & set(response.split())) == settings.direction_words


def test_unsuited_demonstrations_take_each_type_the_way_that_needs_a_guess():
    settings = settings_with()
    problems = drawn(settings)
    for problem, (strategy, response) in zip(
        problems, answered(settings, problems, forward_share=None, suited_share=0.0), strict=True
    ):
        assert strategy == {"evaluation": "backward", "inversion": "forward"}[problem.problem_type]
        assert response.startswith(f"{strategy} guess e{problem.answer} ")


@pytest.mark.parametrize("written", WRITTEN)
def test_the_base_model_reads_what_is_asked_later_word_for_word(written):
    settings, rng = settings_with(**written), random.Random(0)
    tokenizer = build_tokenizer(TASK.vocabulary(settings))
    vocabulary = {token.strip() for token in TASK.vocabulary(settings)}
    read = TASK.draw_documents(settings, REWRITTEN.section.documents, 64, rng)
    assert vocabulary == {token.strip() for token in load_task("chains").vocabulary(CHAINS.settings)}
    assert {word for document in read for word in document.prompt} <= vocabulary
    firsts = {document.prompt[0] for document in read if document.prompt}
    assert firsts == ({"find-end", "find-start"} if settings.question == "first" else {"start"})
    worked = {word for document in read if document.prompt for word in document.response}
    assert bool(worked & DIRECTIONS) == settings.direction_words
    for problem in drawn(settings, 8):
        tokens = tokenizer.convert_ids_to_tokens(tokenizer(problem.prompt)["input_ids"])
        assert [token.strip() for token in tokens] == problem.prompt.split()
