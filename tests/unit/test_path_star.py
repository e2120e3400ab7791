"""Path-stars: answers by a search over the prompt alone, splits, demonstrations, documents, and labels that never fail."""

import random
from collections import Counter
from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.config.params import Case
from selectimprove.reports.excerpt import mark_response
from selectimprove.tasks.chains.settings import Problems
from selectimprove.tasks.interface import load_task
from selectimprove.tasks.path_star.problems import draw_star
from selectimprove.tasks.shared import SPLITS, STRATEGIES, SUITED, split_of_content

CASE = Case(load_params(ROOT / "params.yaml"), "path_star")
SETTINGS, DOCUMENTS = CASE.settings, CASE.section.documents
TASK = load_task("path_star")
TYPES = st.sampled_from(SETTINGS.problem_types)


def star(seed: int, problem_type: str = "evaluation", n_steps: int = 4):
    return draw_star(SETTINGS, problem_type, n_steps, SPLITS, random.Random(seed))


def read_prompt(prompt: str) -> tuple[list[tuple[str, str]], str, str]:
    """Read edges, and the ends of the path, from a prompt."""
    listed, _, asked = prompt.removeprefix("edges ").partition(" , from ")
    beginning, _, end = asked.split()[:3]
    return [tuple(edge.split()) for edge in listed.split(" , ")], beginning, end


def search(edges: list[tuple[str, str]], beginning: str, end: str) -> list[list[str]]:
    """Find every path by trying all edges at each node."""
    if beginning == end:
        return [[end]]
    onwards = (v for u, v in edges if u == beginning)
    return [[beginning, *path] for node in onwards for path in search(edges, node, end)]


@given(seed=st.integers(0, 10**6), problem_type=TYPES, n_steps=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_a_search_of_the_prompt_finds_one_path_and_the_answer_on_it(seed, problem_type, n_steps):
    problem = star(seed, problem_type, n_steps)
    edges, beginning, end = read_prompt(problem.prompt)
    (path,) = search(edges, beginning, end)
    assert len(edges) == SETTINGS.n_arms * n_steps
    assert path == [f"e{node}" for node in problem.path]
    assert f"e{problem.answer}" == path[-2 if problem_type == "evaluation" else 1]


@given(seed=st.integers(0, 10**6), problem_type=TYPES, n_steps=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_the_suited_walk_never_has_a_choice_and_the_other_has_one_at_the_hub(seed, problem_type, n_steps):
    problem = star(seed, problem_type, n_steps)
    for strategy in STRATEGIES:
        path = problem.path if strategy == "forward" else problem.path[::-1]
        choices = [len(problem.next_nodes(node, strategy)) for node in path[:-1]]
        suited = SUITED[problem_type] == strategy
        assert choices == [1 if suited else SETTINGS.n_arms] + [1] * (n_steps - 1)
        assert problem.next_nodes(path[-1], strategy) == []


def test_neither_place_in_the_prompt_nor_name_tells_the_answer_from_the_other_neighbours_of_the_hub():
    ranks = Counter()
    for seed in range(1500):
        problem = star(seed, "inversion", 3)
        near = [end for beginning, end in problem.edges if beginning == problem.hub]
        ranks["place", near.index(problem.answer)] += 1
        ranks["name", sorted(near).index(problem.answer)] += 1
    # All ranks are as frequent, give or take four standard deviations.
    assert all(abs(n - 1500 / SETTINGS.n_arms) < 78 for n in ranks.values())
    assert len(ranks) == 2 * SETTINGS.n_arms


@given(seed=st.integers(0, 10**6), problem_type=TYPES, n_steps=st.integers(1, 9), strategy=st.sampled_from(STRATEGIES))
@settings(max_examples=60, deadline=None)
def test_a_demonstration_follows_edges_of_the_prompt_and_is_labelled_as_what_it_is(
    seed, problem_type, n_steps, strategy
):
    problem = star(seed, problem_type, n_steps)
    response = TASK.respond(SETTINGS, problem, strategy)
    edges, beginning, end = read_prompt(problem.prompt)
    walk = response.split()[1:-2]
    assert ("guess" in walk) == (SUITED[problem_type] != strategy) == (walk[1] == "guess")
    walk = [word for word in walk if word != "guess"]
    assert (walk if strategy == "forward" else walk[::-1]) in search(edges, beginning, end)
    assert TASK.reward(response, problem.answer) == 1.0
    assert len(response.split()) <= len(TASK.longest_response(SETTINGS, n_steps))
    found = TASK.label(SETTINGS, problem, response)
    assert (found["strategy"], found["first_error"], found["correct"]) == (strategy, "none", True)
    said = {"forward": "backward", "backward": "forward"}[strategy]
    assert TASK.label(SETTINGS, problem, response.replace(strategy, said))["strategy"] == strategy


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_mix_shows_forward_as_often_as_it_says_for_each_type_and_length(share):
    problems = TASK.draw_problems(SETTINGS, Problems(steps=(2, 5)), 64, "sft_train", 3)
    mix = CASE.section.sft_mixes["F"].model_copy(update={"forward_share": share})
    shown = Counter(
        (p.problem_type, p.n_steps, strategy)
        for p, (strategy, _) in zip(problems, TASK.demonstrate(SETTINGS, mix, problems, 3), strict=True)
    )
    for problem_type in SETTINGS.problem_types:
        assert [shown[problem_type, n, "forward"] for n in range(2, 6)] == [8 * share] * 4


def test_no_star_is_in_two_splits_whatever_its_type_its_leaf_and_the_order_of_its_edges():
    drawn = {
        split: TASK.draw_problems(SETTINGS, Problems(steps=(1, 3)), 120, split, n) for n, split in enumerate(SPLITS)
    }
    stars = {split: {frozenset(map(frozenset, p.edges)) for p in problems} for split, problems in drawn.items()}
    for one in SPLITS:
        assert len(stars[one]) == 120
        assert all(one == other or not stars[one] & stars[other] for other in SPLITS)
        assert [sum(p.n_steps == n for p in drawn[one]) for n in (1, 2, 3)] == [40] * 3
    problem = drawn["test"][0]
    n = problem.n_steps
    turned = TASK.from_row(
        TASK.to_row(problem)
        | {"nodes": problem.nodes[n:] + problem.nodes[:n], "order": problem.order[::-1], "problem_type": "inversion"}
    )
    assert TASK.content_of(turned) == TASK.content_of(problem)
    assert split_of_content(repr(turned.content), SETTINGS.split_shares) == "test"


def test_tables_hold_all_of_a_problem():
    problems = [star(seed, list(SUITED)[seed % 2], 1 + seed % 9) for seed in range(30)]
    assert [TASK.from_row(TASK.to_row(problem)) for problem in problems] == problems


def read(**changes) -> list[tuple]:
    """Draw walks, each with the edges that it is on."""
    rng, documents = random.Random(5), DOCUMENTS.model_copy(update={"drill_share": 0.0, **changes})
    batches = [TASK.draw_documents(SETTINGS, documents, 32, rng) for _ in range(40)]
    return [(*read_prompt(" ".join(d.prompt)), d.prompt[-1], d.response) for batch in batches for d in batch]


def test_no_star_of_an_rl_or_a_test_problem_is_read():
    known = {" ".join(["edges", *(f"{u} {v} ," for u, v in edges)]) for edges, *_ in read(max_steps=1)}
    stars = (
        draw_star(SETTINGS, "inversion", 1, (split,), random.Random(n)) for n in range(2000) for split in ("rl", "test")
    )
    assert not known & {problem.prompt.partition(" from")[0] for problem in stars}
    for split in SPLITS:
        only = SETTINGS.model_dump() | {"split_shares": {name: float(name == split) for name in SPLITS}}
        unread = pytest.raises(ValueError, match="sft_train and sft_validation add up to 0;")
        with unread if split in ("rl", "test") else nullcontext():
            type(SETTINGS)(**only)


def test_directions_are_drawn_without_regard_to_the_type_and_guesses_are_of_any_arm():
    directions, right = Counter(), Counter()
    for edges, beginning, end, question, response in read(backward_error=0.0):
        problem_type = {"find-end": "evaluation", "find-start": "inversion"}[question]
        directions[problem_type, response[0]] += 1
        (path,) = search(edges, beginning, end)
        right[problem_type, response[0]] += response[-2] == path[-2 if problem_type == "evaluation" else 1]
    for problem_type, suited in SUITED.items():
        both = sum(directions[problem_type, strategy] for strategy in STRATEGIES)
        assert abs(directions[problem_type, "backward"] / both - DOCUMENTS.backward_share) < 0.08
        for strategy in STRATEGIES:
            rate = right[problem_type, strategy] / directions[problem_type, strategy]
            assert rate == 1 if strategy == suited else abs(rate - 1 / SETTINGS.n_arms) < 0.1


def test_backward_walks_alone_slip_and_only_past_the_sound_steps():
    slips, chances = 0, 0
    for edges, _, _, _, (strategy, *walk) in read(max_steps=9):
        nodes = [word for word in walk[:-3] if word != "guess"]
        steps = list(pairwise(nodes))
        sound = [(step if strategy == "forward" else step[::-1]) in edges for step in steps]
        assert strategy == "backward" or all(sound)
        assert all(sound[: DOCUMENTS.backward_sound_steps])
        assert sound.count(False) <= 1
        if len(sound) > DOCUMENTS.backward_sound_steps and strategy == "backward":
            chances += 1
            slips += not sound[DOCUMENTS.backward_sound_steps]
    assert abs(slips / chances - DOCUMENTS.backward_error) < 0.12


def test_every_word_of_documents_and_responses_is_a_token():
    known = {word.strip() for word in TASK.vocabulary(SETTINGS)}
    rng = random.Random(2)
    for _ in range(20):
        for document in TASK.draw_documents(SETTINGS, DOCUMENTS, 8, rng):
            assert {*document.prompt, *document.response} - {document.END} <= known
            assert document.learned is None or len(document.learned) == len(document.response)


@pytest.mark.parametrize(
    ("edit", "error", "step"),
    [
        (lambda w, p: w, "none", -1),
        (lambda w, p: w[:-2], "format", -1),
        (lambda w, p: [*w[:-3], "what", *w[-3:]], "format", -1),
        (lambda w, p: [w[0], *w[3:]], "start", -1),
        (lambda w, p: [w[0], *w[2:]], "format", -1),
        (lambda w, p: [*w[:-3], w[1], *w[-2:]], "edge", 3),
        (lambda w, p: [*w[:-3], *w[-2:]], "missing", 3),
        (lambda w, p: [*w[:-1], f"e{p.nodes[-1]}"], "answer", -1),
        (lambda w, p: ["forward", *(f"e{n}" for n in [p.hub, *p.nodes[4:8]]), "answer", f"e{p.nodes[4]}"], "arm", 0),
    ],
)
def test_the_first_error_is_named_with_its_step(edit, error, step):
    problem = star(1, "inversion")
    words = edit(TASK.respond(SETTINGS, problem, "forward").split(), problem)
    found = TASK.label(SETTINGS, problem, " ".join(words))
    assert (found["strategy"], found["first_error"], found["first_error_step"]) == ("forward", error, step)
    assert found["correct"] == (words[-1] == f"e{problem.answer}" and words[-2] == "answer")


def test_half_of_the_steps_along_edges_are_too_few_to_name_a_strategy():
    problem = star(1, "inversion")
    words = TASK.respond(SETTINGS, problem, "forward").split()
    # A wrong node in the middle breaks two of four steps.
    words[5] = words[1]
    found = TASK.label(SETTINGS, problem, " ".join(words))
    assert (found["strategy"], found["first_error"], found["step_right"]) == ("other", "format", [False] * 4)


@given(
    problem_type=TYPES,
    text=st.text(max_size=80)
    | st.lists(st.sampled_from([w.strip() for w in TASK.vocabulary(SETTINGS)]), max_size=30).map(" ".join),
)
@settings(max_examples=100, deadline=None)
def test_no_text_breaks_the_labels_and_the_reward_agrees_with_them(problem_type, text):
    problem = star(1, problem_type)
    found = TASK.label(SETTINGS, problem, text)
    assert found["strategy"] in TASK.label_strategies
    assert found["first_error"] in TASK.first_errors
    assert TASK.reward(text, problem.answer) == float(found["correct"])


def test_people_see_which_steps_follow_an_edge():
    problem = star(1, "inversion")
    words = TASK.respond(SETTINGS, problem, "forward").split()
    words[5] = words[1]
    row = SimpleNamespace(completion=" ".join(words), step_right=[True, True, False, False])
    signs = ["", "✓", "✓", "✗ step", "✗ step", ""]
    texts = [" ".join(words[:3]), *words[3:7], " ".join(words[7:])]
    assert mark_response("path_star", row) == list(zip(texts, signs, strict=True))


def test_too_many_nodes_and_too_many_problems_are_said_before_anything_runs():
    (mistake,) = TASK.refuse_problems(SETTINGS, Problems(steps=(2, 10)), 8, "test")
    assert mistake[0] == "steps"
    (mistake,) = TASK.refuse_documents(SETTINGS, DOCUMENTS.model_copy(update={"max_steps": 10}))
    assert mistake[0] == "max_steps"
    few = SETTINGS.model_copy(update={"n_nodes": 4})
    (mistake,) = TASK.refuse_problems(few, Problems(steps=(1, 1)), 8, "test")
    assert mistake[0] == "n_problems"
    with pytest.raises(ValueError, match="only"):
        TASK.draw_problems(few, Problems(steps=(1, 1)), 8, "test", 1)
