"""What an auditor asks for, and what a verification says that it rests on."""

import json
import re
from collections.abc import Callable

import pytest

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.plan import Plan
from selectimprove.reports.page import why_not_run
from selectimprove.reports.verify import describe_trust

PARAMS = ROOT / "params.yaml"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load_params(PARAMS))


@pytest.mark.parametrize("preset", ["spot_seed: 0, stages: [base]", "only: [table1], spot: 1, checkpoints: last"])
def test_what_an_auditor_asks_replaces_presets_of_params_yaml(tmp_path, preset):
    forged = tmp_path / "params.yaml"
    text = re.sub(r"^verify:.*\n", f"verify: {{{preset}}}\n", PARAMS.read_text(), flags=re.M)
    forged.write_text(text)
    assert load_params(forged).verify != load_params(PARAMS).verify
    for asked in ({"spot": "all"}, {"spot": 3, "stages": ["rl"]}):
        assert load_params(forged, {"verify": asked}).verify == load_params(PARAMS, {"verify": asked}).verify


def test_the_claims_of_one_experiment_are_audited_by_themselves(plan):
    main = Plan(load_params(PARAMS, {"audit": {"experiments": ["main"]}}))
    of_main = {name for name, claim in plan.claims.items() if claim.experiment == "main"}
    assert set(main.verdicts.config.run) == of_main & set(plan.verdicts.config.run)
    assert set(main.verdicts.config.claims) == set(plan.verdicts.config.claims)
    assert main.params.figures.keys() | main.params.tables.keys() > main.audited.keys() >= {"table1", "figure2"}
    behind = collect_ancestors([main.verdicts, *main.audited.values()])
    assert {a.slug for a in behind if a.stage == "measures"} == {"main"}
    assert len(behind) < len(collect_ancestors([plan.verdicts, *plan.audited.values()]))
    # No figure or table changes.
    assert {a.name for a in main.all_exhibits.values()} == {a.name for a in plan.all_exhibits.values()}
    other = next(claim for claim in plan.claims.values() if claim.experiment == "gf13")
    assert why_not_run(main, other) == "this audit is of main only (audit.experiments)"


def made(artifact: Artifact, processor: str) -> None:
    artifact.folder.mkdir(parents=True)
    record = {"machine": {"processor": processor}, "started": "2026-11-20T10:00:00+00:00"}
    artifact.done.write_text(json.dumps(record))


@pytest.fixture
def say(plan, tmp_path, monkeypatch) -> Callable:
    """Return what is said after artifacts were made again, of all that is behind the verdicts of main."""
    monkeypatch.chdir(tmp_path)
    run = next(run for run in plan.measures["main"].config.runs if run.training == "rl_6_9")
    there = collect_ancestors([plan.measures["main"].inputs[f"labels/{run.name}"]])
    for artifact in there:
        made(artifact, "A processor of another maker")

    def after(*stages: str) -> str:
        confirmed = {artifact for artifact in there if artifact.stage in stages}
        return "\n".join(describe_trust(plan, there, confirmed))

    return after


def test_a_spot_check_says_which_models_it_took_on_trust(say):
    said = say("problems", "demonstrations", "rl", "evaluation", "labels")
    assert "taken on trust, as recorded: 1 of base, 1 of sft (verify.spot makes them again)" in said
    assert "made again from inputs that are taken on trust: 1 of rl, 1 of evaluation, 1 of labels" in said
    whole = say("problems", "demonstrations", "base", "sft", "rl", "evaluation", "labels")
    assert "taken on trust, as recorded: none" in whole
    assert "made again from inputs that are taken on trust: none" in whole
    assert "not vouched for: times and machines in records, and costs.csv" in whole


def test_a_verification_says_on_which_processors_all_was_made(say):
    assert "on A processor of another maker; this is " in say("rl")


def test_margins_are_dated_beside_the_runs(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(plan.verdicts, "x")
    (line,) = [line for line in describe_trust(plan, [plan.verdicts], set()) if line.startswith("claims")]
    assert line.endswith("the first of these runs began 2026-11-20T10:00:00+00:00")
    assert "claims.yaml was last changed 20" in line or "claims.yaml differs from the last commit" in line
