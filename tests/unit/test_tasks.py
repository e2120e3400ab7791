"""What holds for every task of the params: draws, the longest response, what is refused, and documents."""

import random
import re
from itertools import pairwise, product

import pytest

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.config.params import Case
from selectimprove.tasks.chains import settings as chains
from selectimprove.tasks.compositions import settings as compositions
from selectimprove.tasks.compositions.problems import draw_composition, part_label
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import load_task, task_names
from selectimprove.tasks.path_star import settings as stars
from selectimprove.tasks.path_star.problems import draw_star
from selectimprove.tasks.shared import SPLITS, STRATEGIES, SUITED

PARAMS = load_params(ROOT / "params.yaml")
CASES = {name: Case(PARAMS, name) for name in task_names()}
QUARTERS = dict.fromkeys(SPLITS, 0.25)


def drawn(name: str, n: int, split: str = "test", seed: int = 0, **changes) -> list:
    problems = next(iter(CASES[name].section.test_problems.values())).model_copy(update=changes)
    return load_task(name).draw_problems(CASES[name].settings, problems, n, split, seed)


@pytest.mark.parametrize("name", CASES)
def test_a_draw_has_the_types_and_difficulties_that_are_asked_for(name):
    task, settings = load_task(name), CASES[name].settings
    for problems in CASES[name].section.test_problems.values():
        found = task.draw_problems(settings, problems, 40, "test", 0)
        values = [getattr(problem, settings.difficulty) for problem in found]
        assert set(values) == set(problems.difficulties)
        counts = [values.count(value) for value in problems.difficulties]
        assert max(counts) - min(counts) <= len(settings.problem_types)
        types = [problem.problem_type for problem in found]
        assert {kind: types.count(kind) for kind in settings.problem_types} == problems.count_types(40)
        assert sum(problems.count_types(40).values()) == 40
        assert len({task.content_of(problem) for problem in found}) == 40


@pytest.mark.parametrize("name", CASES)
def test_a_draw_depends_on_its_seed_and_is_in_no_order(name):
    problems = drawn(name, 30)
    assert problems == drawn(name, 30) != drawn(name, 30, seed=1)
    difficulties = [getattr(problem, CASES[name].settings.difficulty) for problem in problems]
    assert difficulties not in (sorted(difficulties), sorted(difficulties)[::-1])


@pytest.mark.parametrize("name", CASES)
def test_no_demonstration_is_longer_than_the_longest_response_and_one_is_as_long(name):
    task, case = load_task(name), CASES[name]
    problems = drawn(name, 60)
    room = []
    words = {word.strip() for word in task.vocabulary(case.settings)}
    assert set(task.longest_response(case.settings, 4)) <= words
    for mix in case.section.sft_mixes.values():
        for problem, (_, response) in zip(problems, task.demonstrate(case.settings, mix, problems, 0), strict=True):
            longest = task.longest_response(case.settings, problem.n_steps)
            assert max(map(len, response.split())) <= max(map(len, longest))
            room.append(len(longest) - len(response.split()))
    # Walks of path-stars may slip outwards, which no demonstration does; responses may leave out words.
    assert min(room) == 0 or name in ("path_star", "rewritten_chains")
    assert min(room) >= 0


def labels_in(document) -> int:
    return sum(re.fullmatch(r"s\d+", word) is not None for word in document.prompt)


def test_no_worked_document_is_longer_than_the_longest_response_and_a_walk_that_slips_nearly_is():
    for name, case in CASES.items():
        for document in (d for batch in read(name) for d in batch if not is_drill(d)):
            n_steps = document.prompt.count(",") // case.settings.n_arms if name == "path_star" else labels_in(document)
            assert len(document.response) - 1 <= len(load_task(name).longest_response(case.settings, n_steps))
    slips = {"max_steps": 3, "backward_sound_steps": 2, "backward_error": 1.0, "backward_share": 1.0}
    case, room = CASES["path_star"], set()
    for document in (d for batch in read("path_star", **slips) for d in batch if not is_drill(d)):
        if (n_steps := document.prompt.count(",") // case.settings.n_arms) == 3:
            room.add(len(load_task("path_star").longest_response(case.settings, n_steps)) - len(document.response) + 1)
    # The bound has one word to spare.
    assert min(room) == 1


def test_ranges_of_problems_have_names_of_their_own():
    for kind, field in ((chains.Problems, "steps"), (compositions.Problems, "parts")):
        ranges = [(2, 3), (2, 4), (3, 4), (3, 3)]
        slugs = [kind(**{field: each}).slug for each in ranges]
        assert [tuple(map(int, slug.removesuffix("-parts").split("to"))) for slug in slugs] == ranges
    assert len({case.settings.slug for case in CASES.values()}) == len(CASES)


def refused(task: str, settings, problems, n: int) -> list[str]:
    return [key for key, _ in load_task(task).refuse_problems(settings, problems, n, "test")]


def test_chains_are_refused_beyond_those_that_a_split_is_expected_to_hold():
    settings = chains.Settings(field_order=3, relabel_seed=0, ring_size=4, split_shares=QUARTERS)
    field = FiniteField(3)
    steps = [(operation, e) for operation, e in product("+*", range(3)) if (operation, e) != ("*", field.zero)]
    n = len(steps) * 3 // 4
    for most in (1, 2):
        one_length = chains.Problems(steps=(1, most))
        assert refused("chains", settings, one_length, most * n) == []
        # More than there are: hashes decide on splits, so one may hold more than its share.
        assert refused("chains", settings, one_length, most * (3 * len(steps) + 1)) == ["n_problems"]
    assert refused("chains", settings, chains.Problems(steps=(4, 4)), 1) == []
    assert refused("chains", settings, chains.Problems(steps=(4, 5)), 1) == ["steps"]


@pytest.mark.parametrize("n_parts", [1, 2])
def test_compositions_are_refused_beyond_three_quarters_of_those_that_there_are(n_parts):
    shares = dict.fromkeys(SPLITS, 0.0) | {"sft_train": 0.01, "test": 0.99}
    settings = compositions.Settings(
        field_order=3, relabel_seed=0, ring_size=2 * n_parts, split_shares=shares, part_steps=(1, 1)
    )
    rng, found = random.Random(0), set()
    for _ in range(4000):
        parts = draw_composition(settings, n_parts, rng).parts
        found.add(tuple((p.problem_type, p.start, p.operations, p.operands) for p in parts))
    most = int(0.75 * 0.99 * len(found))
    assert refused("compositions", settings, compositions.Problems(parts=(n_parts, n_parts)), most) == []
    assert refused("compositions", settings, compositions.Problems(parts=(n_parts, n_parts)), most + 1) == [
        "n_problems"
    ]
    # Each part takes a label, and so does each of its steps.
    longer = compositions.Problems(parts=(n_parts, n_parts + 1))
    assert refused("compositions", settings, longer, 1) == ["parts"]
    documents = CASES["compositions"].section.documents.model_copy(update={"parts": (1, n_parts)})
    task = load_task("compositions")
    settings = settings.model_copy(update={"split_shares": QUARTERS})
    assert list(task.refuse_documents(settings, documents)) == []
    (mistake,) = task.refuse_documents(settings, documents.model_copy(update={"parts": (1, n_parts + 1)}))
    assert mistake[0] == "parts"


def test_stars_are_refused_beyond_half_of_those_that_there_are():
    settings = stars.Settings(n_nodes=5, n_arms=2, cued=True, split_shares=QUARTERS)
    rng = random.Random(0)
    found = {draw_star(settings, "evaluation", 1, SPLITS, rng).content for _ in range(600)}
    most = int(len(found) / 4 / 2)
    assert refused("path_star", settings, chains.Problems(steps=(1, 1)), most) == []
    assert refused("path_star", settings, chains.Problems(steps=(1, 1)), most + 1) == ["n_problems"]
    assert refused("path_star", settings, chains.Problems(steps=(2, 2)), 0) == []
    assert refused("path_star", settings, chains.Problems(steps=(2, 3)), 0) == ["steps"]


def test_documents_are_refused_only_where_they_cannot_be_drawn():
    for name, case in CASES.items():
        documents = case.section.documents
        assert list(load_task(name).refuse_documents(case.settings, documents)) == []
    case = CASES["chains"]
    for steps, keys in ((case.settings.ring_size, []), (case.settings.ring_size + 1, ["max_chain_steps"])):
        documents = case.section.documents.model_copy(update={"max_chain_steps": steps})
        assert [key for key, _ in load_task("chains").refuse_documents(case.settings, documents)] == keys
    case = CASES["path_star"]
    for n_edges, keys in ((case.settings.n_nodes // 2, []), (case.settings.n_nodes // 2 + 1, ["drill_edges"])):
        documents = case.section.documents.model_copy(update={"drill_edges": n_edges})
        assert [key for key, _ in load_task("path_star").refuse_documents(case.settings, documents)] == keys


def read(name: str, n_batches: int = 30, batch_size: int = 20, **changes) -> list[list]:
    case, rng = CASES[name], random.Random(name)
    documents = case.section.documents.model_copy(update=changes)
    draw = load_task(name).draw_documents
    return [draw(case.settings, documents, batch_size, rng) for _ in range(n_batches)]


def is_drill(document) -> bool:
    return document.learned is not None


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("share", "n_drills"), [(0.0, 0), (0.3, 6), (1.0, 20)])
def test_a_batch_has_the_share_of_drills(name, share, n_drills):
    for batch in read(name, 3, drill_share=share):
        assert [is_drill(document) for document in batch] == [False] * (20 - n_drills) + [True] * n_drills


@pytest.mark.parametrize("name", ["chains", "compositions", "rewritten_chains"])
def test_drills_are_true_in_every_operation_and_about_as_long_as_the_chains_beside_them(name):
    field, operations = CASES[name].settings.field, set()
    for batch in read(name):
        worked = max(len(d.prompt) + len(d.response) for d in batch if not is_drill(d))
        for document in filter(is_drill, batch):
            words = document.response
            for value, step, result in zip(words[::3], words[1::3], words[2::3], strict=True):
                operations.add((step[0], step[1:] == f"e{field.zero}"))
                assert result == f"e{field.apply(step[0], int(value[1:]), int(step[2:]))}"
            assert document.learned == (False, False, True) * (len(words) // 3)
            assert document.prompt == []
            # Rewritten chains may leave words out after the drills were drawn.
            assert 0 <= worked - len(words) < 3 or name == "rewritten_chains"
            assert len(words) >= 6
    assert operations == {(operation, False) for operation in "+-*/"} | {("+", True), ("-", True)}


def test_drills_of_stars_go_along_the_listed_edges_in_another_order():
    directions = set()
    for document in (document for batch in read("path_star") for document in batch if is_drill(document)):
        *listed, strategy = document.prompt
        edges = list(zip(listed[1::3], listed[2::3], strict=True))
        assert len({node for edge in edges for node in edge}) == 2 * len(edges)
        taken = list(zip(document.response[::2], document.response[1::2], strict=True))
        assert sorted(pair if strategy == "forward" else pair[::-1] for pair in taken) == sorted(edges)
        assert document.learned == (False, True) * len(edges)
        directions.add((strategy, taken == edges))
    assert {strategy for strategy, _ in directions} == set(STRATEGIES)
    assert (("forward", False)) in directions


def test_worked_chains_are_of_all_lengths_and_answer_what_they_found_or_guessed():
    case = CASES["chains"]
    field, most = case.settings.field, case.section.documents.max_chain_steps
    lengths, guesses, first_labels = set(), {strategy: [0, 0] for strategy in STRATEGIES}, set()
    for document in (d for batch in read("chains", 60, backward_error=0.0) for d in batch if not is_drill(d)):
        strategy, *words = document.response
        answer, end = words[-2:]
        assert end == document.END
        problem_type = {"find-end": "evaluation", "find-start": "inversion"}[document.prompt[-1]]
        guessed = words[0] == "guess"
        assert guessed == (SUITED[problem_type] != strategy)
        values = [int(word[1:]) for word in words[guessed:-3:3]]
        steps = words[guessed + 2 : -3 : 3]
        assert all(field.apply(s[0], a, int(s[2:])) == b for s, (a, b) in zip(steps, pairwise(values), strict=True))
        given = next(word for word in (document.prompt[1], document.prompt[-2]) if word != "?")
        # A guess is carried to the other end, which is the given one only if the guess was right.
        assert guessed or f"e{values[0]}" == given
        assert answer == f"e{values[0 if guessed else -1]}"
        guesses[strategy][0] += guessed and f"e{values[-1]}" == given
        guesses[strategy][1] += guessed
        lengths.add(len(steps))
        first_labels.add(document.prompt[2])
    assert lengths == set(range(1, most + 1))
    assert first_labels == {f"s{n}" for n in range(case.settings.ring_size)}
    for right, asked in guesses.values():
        # A guess is right by chance alone: one in eleven, give or take four standard deviations.
        assert abs(right / asked - 1 / 11) < 4 * (1 / 11 / asked) ** 0.5
    n_backward = sum(d.response[0] == "backward" for batch in read("chains", 60) for d in batch if not is_drill(d))
    assert abs(n_backward / (60 * 15) - case.section.documents.backward_share) < 0.06


def test_worked_compositions_carry_values_on_and_answer_the_last_part_that_they_work():
    case = CASES["compositions"]
    field, n_continued, n_asked = case.settings.field, 0, 0
    for document in (d for batch in read("compositions", 60) for d in batch if not is_drill(d)):
        words, answer = document.response[:-3], document.response[-2]
        starts = [at for at, word in enumerate(words) if word.startswith("find-")]
        carried = document.prompt[1]
        for at, end in zip(starts, [*(at - 1 for at in starts[1:]), len(words)], strict=True):
            question, strategy, *worked = words[at:end]
            values = [int(word[1:]) for word in worked[::3]]
            for step, (before, after) in zip(worked[2::3], pairwise(values), strict=True):
                assert field.apply(step[0], before, int(step[2:])) == after
            suited = (question == "find-end") == (strategy == "forward")
            assert not suited or worked[0] == carried
            carried = f"e{values[-1 if suited else 0]}"
        assert answer == carried
        n_parts = sum(word.startswith("find-") for word in document.prompt)
        n_asked += min(len(starts), n_parts - 1)
        n_continued += len(starts) - 1
    assert abs(n_continued / n_asked - case.section.documents.part_continue) < 0.06


def test_the_label_of_a_part_is_the_one_before_its_first_step_on_the_ring():
    for composition in drawn("compositions", 40):
        for part in composition.parts:
            label, first = int(part_label(part)[1:]), int(part.steps[0][0][1:])
            assert (label + 1) % part.ring_size == first
