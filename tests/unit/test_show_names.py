"""`selectimprove show`: what it refuses before it reads anything, and how it divides a response."""

import argparse
import json
from types import SimpleNamespace

import pytest

from conftest import SEEDS, laptop_plan
from selectimprove.commands.arguments import find_artifact
from selectimprove.commands.show import add_arguments, find_models
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.excerpt import mark_response


@pytest.fixture
def plan() -> Plan:
    return laptop_plan()


def options(words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tabel1 FB rl_6_9", "name: 'tabel1' is unknown; did you mean 'table1'?"),
        ("table1 FBB rl_6_9", "sft: 'FBB' is unknown; did you mean 'FB'?"),
        ("table1 Q rl_6_9", "sft: 'Q' is unknown; use one of B, F, FB"),
        ("table1 FB rl69", "training: 'rl69' is unknown; did you mean 'rl_6_9'?"),
        ("table1 FB rl_6_9 inverson", "problem_type: 'inverson' is unknown; did you mean 'inversion'?"),
        ("table1 FB rl_6_9 --seed 3", f"seed: '3' is unknown; use one of {SEEDS[0]}"),
        ("table1 FB rl_6_9 --variant random", "variant: 'random' is unknown; use one of default"),
        ("controls FB rl_6_9 --variant random", "variant: 'random' is unknown; did you mean 'random_reward'?"),
        ("table1 FB rl_6_9 --problem-set hard", "--problem-set: 'hard' is unknown; use one of 2-5, 6-9"),
        ("table1 FB rl_6_9 --n-steps 12", "--n-steps: '12' is unknown; use one of 6, 7, 8, 9"),
        ("table1 FB sft inversion --told forwards", "--told: 'forwards' is unknown; did you mean 'forward'?"),
        ("table1 FB sft --greedy", "problem_type: with --told or --greedy, use one of evaluation, inversion"),
        ("composition two_part sft --told forward", "--told: models are told no strategy in compositions"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line_with_what_there_is(plan, words, expected):
    with pytest.raises(ParamsError) as refused:
        find_models(plan, options(words))
    assert str(refused.value) == expected


def test_what_is_not_there_is_named_with_the_command_that_makes_it(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError) as missing:
        find_models(plan, options("table1 FB rl_6_9"))
    name = next(name for name in plan.artifacts["labels"] if name.startswith(f"FB-gf11-rl_6_9-s{SEEDS[0]}-"))
    assert str(missing.value).startswith(f"results/labels/{name}: neither made nor pulled; ")
    assert f"`snakemake --cores all results/labels/{name}/provenance.json`" in str(missing.value)


def test_damaged_labels_are_named_with_the_command_that_makes_them(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = next(name for name in plan.artifacts["labels"] if name.startswith(f"FB-gf11-rl_6_9-s{SEEDS[0]}-"))
    labels = plan.artifacts["labels"][name]
    labels.folder.mkdir(parents=True)
    (labels.folder / "generations.parquet").write_bytes(b"cut sho")
    labels.done.write_text(json.dumps({"files": {"generations.parquet": "0" * 64}}))
    with pytest.raises(ParamsError) as damaged:
        find_models(plan, options("table1 FB rl_6_9"))
    assert str(damaged.value) == (
        f"{labels.folder}/generations.parquet: has changed since it was made; remove {labels.folder} and run "
        f"`snakemake --cores all {labels.done}`"
    )


@pytest.mark.parametrize("form", ["{}", "./{}", "{}/", "sft/../{}", "/there/{}"])
def test_an_artifact_is_found_by_any_path_to_it(plan, form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifact = next(iter(plan.artifacts["sft"].values()))
    text = form.format(artifact.folder).replace("/there", str(tmp_path))
    assert find_artifact(plan, text, ["sft", "rl"]) == artifact


def test_a_response_is_divided_into_steps_and_what_is_around_them():
    row = SimpleNamespace(
        completion=" forward e3 s7 +e5 e8 s8 *e2 e9 s8 *e2 e7 answer e7",
        step_in_order=[True, True, False],
        step_right=[True, False, True],
    )
    assert mark_response("chains", row) == [
        ("forward e3", ""),
        ("s7 +e5 e8", "✓"),
        ("s8 *e2 e9", "✗ result"),
        ("s8 *e2 e7", "✗ step"),
        ("answer e7", ""),
    ]
    unreadable = SimpleNamespace(completion="e3  answer", step_in_order=[], step_right=[])
    assert mark_response("chains", unreadable) == [("e3 answer", "")]
    opened = "s7 find-end forward e3 s8 +e5 e8 s9 *e2 e5 answer e5"
    row = SimpleNamespace(completion=opened, part_steps=[2, 2], n_right=0)
    assert mark_response("compositions", row) == [(opened, "")]
    row.n_right = 1
    assert mark_response("compositions", row) == [
        ("s7 find-end forward e3", "✓"),
        ("s8 +e5 e8", "✓"),
        ("s9 *e2 e5", "✓"),
        ("answer e5", ""),
    ]
