"""The problems and responses in workflow/docs/prompts.md are what the document says of them."""

import re

import pytest

from chain_responses import label_generation
from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.config.params import resolve_case
from selectimprove.tasks.chains.problems import Problem, run_chain
from selectimprove.tasks.compositions.problems import Composition
from selectimprove.tasks.interface import load_task

TEXT = (ROOT / "workflow/docs/prompts.md").read_text()
ROWS = re.findall(r"^\| ([a-z ]+) \| (right|wrong) \| (\w+) \| `(.*)` \|$", TEXT, re.M)
RING = 20


def section(name: str) -> tuple[str, list[tuple]]:
    """Return the problem of a section, and its rows."""
    text = re.search(rf"^## {name}\n(.*?)(?=^## )", TEXT, re.S | re.M)[1]
    return re.search(r"```text\n(.*?)\n```", text)[1], [row for row in ROWS if row[3] in text]


def read_chain(field, words: list[str], given: int, problem_type: str) -> Problem:
    """Read ``s7 +e5 s8 *e2`` by itself; whichever end is not given is found by trying all elements."""
    operations, operands = (tuple(part) for part in zip(*((w[0], int(w[2:])) for w in words[1::2]), strict=True))
    starts = range(field.order) if problem_type == "inversion" else [given]
    chains = [(start, run_chain(field, start, operations, operands)) for start in starts]
    start, end = next(ends for ends in chains if problem_type == "evaluation" or ends[1] == given)
    return Problem(problem_type, operations, operands, start, end, int(words[0][1:]), RING)


@pytest.mark.parametrize("name", ["Evaluation", "Inversion"])
def test_each_strategy_answers_a_chain_right_and_wrong(name):
    field = resolve_case(load_params(ROOT / "params.yaml"), "main").settings.field
    prompt, rows = section(name)
    words = prompt.split()
    given = next(int(word[1:]) for word in (words[1], words[-2]) if word != "?")
    problem = read_chain(field, words[2:-3], given, name.lower())
    assert problem.prompt == prompt
    assert [(strategy, answer) for strategy, answer, *_ in rows] == [
        (strategy, answer) for strategy in ("forward", "backward") for answer in ("right", "wrong")
    ]
    for strategy, answer, error, response in rows:
        label = label_generation(field, problem, response)
        assert (label.strategy, label.correct, label.first_error) == (strategy, answer == "right", error)


def test_a_composition_is_answered_right_and_wrong():
    settings = resolve_case(load_params(ROOT / "params.yaml"), "composition").settings
    prompt, rows = section("Composition")
    words, parts = prompt.split(), []
    given = int(words[1][1:])
    for question, steps in re.findall(r"s\d+ find-(start|end)((?: s\d+ [+*]\S+)+)", prompt):
        parts.append(
            read_chain(settings.field, steps.split(), given, "inversion" if question == "start" else "evaluation")
        )
        given = parts[-1].answer
    composition = Composition(tuple(parts))
    assert composition.prompt == prompt
    assert [answer for _, answer, *_ in rows] == ["right", "wrong", "wrong"]
    for _, answer, error, response in rows:
        label = load_task("compositions").label(settings, composition, response)
        assert (label["correct"], label["first_error"]) == (answer == "right", error)
