"""The draw of a spot check: what it is among, that it is random, and what no other machine can check."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from conftest import ROOT, laptop_plan
from selectimprove.artifacts.provenance import versions
from selectimprove.config.loading import load_params
from selectimprove.config.params import Params
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports import remaking
from selectimprove.reports.verify import asked_for


def params_with(**verify) -> Params:
    return load_params(ROOT / "params.yaml", {"verify": verify})


def plan_with(**verify) -> Plan:
    return Plan(params_with(**verify))


PLAN = laptop_plan()
CHECKED = asked_for(PLAN)


def test_options_of_verify_are_in_no_key():
    chosen = plan_with(spot=3, spot_seed=1, stages=["rl"], only=["main"], checkpoints="last")
    names = [{stage: list(artifacts) for stage, artifacts in plan.artifacts.items()} for plan in (PLAN, chosen)]
    assert names[0] == names[1]


def test_a_command_line_gives_nested_numbers_as_texts():
    given = {"spot": "3", "spot_seed": "7", "stages": ["evaluation"]}
    assert params_with(**given) == params_with(spot=3, spot_seed=7, stages=["evaluation"])
    assert params_with(spot="all").verify.spot == "all"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"spot": "many"}, "verify.spot: input should be a number of artifacts or all, not 'many'"),
        ({"spot": -1}, "verify.spot: input should be a number of artifacts or all, not -1"),
        (
            {"stages": ["labels"]},
            "verify.stages.0: input should be 'base', 'sft', 'rl', 'rft' or 'evaluation', not 'labels'",
        ),
        ({"only": ["tabel1"]}, "verify.only: 'tabel1' is unknown; did you mean 'table1'?"),
        ({"spt": 1}, "verify.spt: unknown key; did you mean 'spot'?"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(option, said):
    with pytest.raises(ParamsError) as found:
        params_with(**option)
    assert str(found.value) == f"--config: {said}"


def test_all_that_a_model_made_may_be_drawn_or_what_the_options_leave():
    stages = {artifact.stage for artifact in remaking.candidates(PLAN, CHECKED)}
    assert stages == {"base", "sft", "rl", "evaluation"}
    plan = plan_with(stages=["evaluation"], only=["table1"])
    of_main = remaking.candidates(plan, asked_for(plan))
    # Three mixes, each after SFT alone and after RL on two distributions.
    assert len(of_main) == 9


def test_what_is_asked_for_alone_is_verified():
    plan = plan_with(only=["seeds", "figure2"])
    checked = asked_for(plan)
    assert {artifact.slug for artifact in checked if artifact.stage == "measures"} == {"seeds", "main"}
    assert {artifact.slug for artifact in checked if artifact.stage == "exhibits"} == {"seeds", "robustness", "figure2"}


def test_one_seed_draws_the_same_and_many_seeds_draw_each_alike():
    known = remaking.candidates(PLAN, CHECKED)
    assert remaking.draw(known, 3, 5) == remaking.draw(known[::-1], 3, 5)
    assert set(remaking.draw(known, len(known) + 1, 5)) == set(known)
    drawn = [remaking.draw(known[:10], 3, seed) for seed in range(2000)]
    assert all(len(set(three)) == 3 for three in drawn)
    # Each is drawn with a chance of 3 in 10; five standard deviations are 0.05.
    assert all(abs(sum(artifact in three for three in drawn) / 2000 - 0.3) < 0.05 for artifact in known[:10])


MACHINE = {"system": "Linux x86_64", "vector_instructions": "avx2", "mkl_cbwr": "COMPATIBLE"}


@pytest.fixture
def linux(monkeypatch, tmp_path) -> None:
    """A folder without results, on a machine like that of the records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remaking, "vector_instructions", lambda: "avx2")
    monkeypatch.setattr(remaking.platform, "system", lambda: "Linux")
    monkeypatch.setattr(remaking.platform, "machine", lambda: "x86_64")


@pytest.fixture
def why_not(linux, monkeypatch) -> Callable[[Artifact, dict], str | None]:
    """Ask about an artifact by the machine of its record, on the processor ``this one``."""
    monkeypatch.setattr(remaking, "processor_info", lambda key: "this one")

    def ask(artifact: Artifact, machine: dict) -> str | None:
        artifact.folder.mkdir(parents=True)
        artifact.done.write_text(json.dumps({"inputs": {}, "files": {}, "source": {}, "machine": machine}))
        return remaking.why_not(artifact, PLAN.params.resources)

    return ask


@pytest.mark.parametrize(
    ("machine", "gpus", "said"),
    [
        (MACHINE, 0, None),
        (MACHINE | {"processor": "another", "cores": 96}, 0, None),
        (MACHINE | {"system": "Darwin arm64"}, 0, "made with system Darwin arm64, and here it is Linux x86_64"),
        (MACHINE | {"mkl_cbwr": None}, 0, "made with mkl cbwr None, and here it is COMPATIBLE"),
        ({}, 0, "made with system None"),
        (MACHINE, 1, "gives its job a GPU"),
    ],
)
def test_what_comes_out_otherwise_here_is_not_made_again_and_fails_with_the_reason(
    linux, monkeypatch, machine, gpus, said
):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    started = []
    monkeypatch.setattr(remaking, "make_again", lambda artifact, output, resources: started.append(artifact))
    monkeypatch.setattr(remaking, "compare", lambda artifact, again, checkpoints: [])
    base = next(artifact for artifact in CHECKED if artifact.stage == "base")
    base.folder.mkdir(parents=True)
    record = {"inputs": {}, "files": {}, "source": {}, "machine": machine}
    base.done.write_text(json.dumps(record))
    (base.folder / "config.json").write_text("{}")
    resources = PLAN.params.resources
    with_gpus = resources.model_copy(update={"train": resources.train.model_copy(update={"gpus": gpus})})
    lines = remaking.check_remade(base, with_gpus)
    assert ([], [base]) == (lines, started) if said is None else started == [] and said in lines[0]


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"mkl_cbwr": "AUTO", "processor": "this one"}, None),
        ({"mkl_cbwr": "AUTO", "processor": "another"}, "made with processor another, and here it is this one"),
        ({"mkl_cbwr": "COMPATIBLE", "processor": "this one"}, "made with mkl cbwr COMPATIBLE, and here it is AUTO"),
    ],
)
def test_fast_arithmetic_is_compared_on_the_same_processor_alone(why_not, machine, said):
    base = next(artifact for artifact in CHECKED if artifact.stage == "base")
    fast = replace(base, config=base.config.model_copy(update={"arithmetic": "fast"}))
    found = why_not(fast, MACHINE | machine)
    assert found is None if said is None else said in found


def test_a_draw_from_nothing_is_no_success():
    plan = plan_with(spot=1, stages=["rl"], only=["sft_learning_rate"])
    with pytest.raises(ParamsError) as found:
        remaking.draw_spot(plan, asked_for(plan), 1)
    assert str(found.value) == "verify.spot: nothing to draw from: sft_learning_rate has no artifact of rl"


def test_a_draw_without_what_trains_models_is_no_success(monkeypatch):
    monkeypatch.setattr(remaking.importlib.util, "find_spec", lambda name: None if name == "trl" else name)
    plan = plan_with(spot=1)
    with pytest.raises(ParamsError, match=r"verify\.spot: not installed: trl; run `pip install '\.\[train\]'`"):
        remaking.draw_spot(plan, asked_for(plan), 1)


def test_the_draw_is_printed_and_its_seed_draws_the_same(capsys):
    plan = plan_with(spot=2)
    drawn = remaking.draw_spot(plan, CHECKED, 1)
    said = capsys.readouterr().out
    assert all(f"  drawn: {artifact.folder}\n" in said for artifact in drawn)
    again = plan_with(spot=2, spot_seed=int(re.search(r"spot_seed (\d+)", said)[1]))
    names = [[artifact.name for artifact in found] for found in (drawn, remaking.draw_spot(again, CHECKED, 1))]
    assert names[0] == names[1]


def test_an_artifact_without_its_inputs_is_not_confirmed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    sft = next(artifact for artifact in CHECKED if artifact.stage == "sft")
    sft.folder.mkdir(parents=True)
    (sft.folder / "config.json").write_text(json.dumps(sft.config.model_dump(mode="json")))
    inputs = {role: source.name for role, source in sft.inputs.items()}
    sft.done.write_text(json.dumps({"inputs": inputs, "files": {}, "source": sft.source}))
    assert not remaking.check_artifact("laptop", PLAN.params.resources, "all", sft, True).confirmed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "file: differs"),
        ({"processor": "another"}, "file: differs (it was made with the processor another, here this one)"),
        ({"trl": "0.1"}, f"file: differs (it was made with trl 0.1, here {versions()['trl']})"),
    ],
)
@pytest.mark.parametrize("stage", ["base", "problems"])
def test_a_mismatch_says_what_may_excuse_it(linux, monkeypatch, changed, said, stage):
    monkeypatch.setattr(remaking, "processor_info", lambda key: "this one")
    monkeypatch.setattr(remaking, "make_again", lambda artifact, output, resources: None)
    monkeypatch.setattr(remaking, "compare", lambda artifact, again, checkpoints: ["file: differs"])
    artifact = next(artifact for artifact in CHECKED if artifact.stage == stage)
    artifact.folder.mkdir(parents=True)
    made_here = MACHINE | {"processor": "this one"} | {name: changed[name] for name in changed if name == "processor"}
    made_with = versions() | {name: changed[name] for name in changed if name == "trl"}
    record = {"inputs": {}, "files": {}, "source": {}, "machine": made_here, "versions": made_with}
    artifact.done.write_text(json.dumps(record))
    (artifact.folder / "config.json").write_text("{}")
    assert remaking.check_remade(artifact, PLAN.params.resources) == [said]
