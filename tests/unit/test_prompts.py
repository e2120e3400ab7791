"""The problems and responses in workflow/docs/prompts.md are what the document says of them."""

import re
from pathlib import Path

import pytest

from chain_responses import label_generation
from conftest import ROOT
from selectimprove.commands.export import find_checkpoint
from selectimprove.config.loading import load_params
from selectimprove.config.params import resolve_case
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
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


def make(scale: str, folder: Path) -> Path:
    """Leave the last checkpoint of FB after RL as if a scale had made it."""
    plan = Plan(load_params(ROOT / "params.yaml", {"scale": scale}))
    measures = plan.measures["main"]
    run = next(run for run in measures.config.runs if (run.sft, run.training) == ("FB", "rl_6_9"))
    policy = folder / measures.inputs[f"policy/{run.name}"].folder
    (policy / "checkpoints/step-0004").mkdir(parents=True)
    (policy / "provenance.json").write_text("{}")
    return policy / "checkpoints/step-0004"


def test_a_model_is_asked_for_by_what_it_is_and_none_of_another_scale_is_given(tmp_path, monkeypatch):
    asked = re.search(r"find_checkpoint\((.*?)\)", TEXT)[1].replace('"', "").split(", ")
    for name in ("params.yaml", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    smoke = make("smoke", tmp_path)
    assert "-smoke-" in str(smoke)
    with pytest.raises(ParamsError, match="neither made nor pulled"):
        find_checkpoint(*asked)
    assert tmp_path / find_checkpoint(*asked, scale="smoke") == smoke
    laptop = make("laptop", tmp_path)
    assert "-laptop-" not in str(laptop)
    assert tmp_path / find_checkpoint(*asked) == tmp_path / find_checkpoint(*asked, step=4) == laptop
