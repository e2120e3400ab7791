"""The default run is the paper's: what it draws, what is left to be asked for, and which problems its curves need."""

import pytest

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import collect_ancestors
from selectimprove.dag.forecast import forecast
from selectimprove.dag.plan import Plan
from selectimprove.dag.rules import audit_publication


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load_params(ROOT / "params.yaml"))


def test_a_default_run_trains_no_control(plan):
    needed = collect_ancestors(plan.exhibits.values())
    assert not [artifact for artifact in needed if artifact.stage == "rft"]
    assert {artifact.config.rl.reward for artifact in needed if artifact.stage == "rl"} == {"outcome"}
    assert {"controls", "methods"} <= plan.extras.keys()
    assert plan.extras.keys() | plan.exhibits.keys() == plan.all_exhibits.keys()
    assert not plan.extras.keys() & plan.exhibits.keys()


def test_the_audit_shows_the_extras_that_its_claims_are_tested_on(plan):
    assert plan.audited.keys() - plan.exhibits.keys() == {"controls"}
    assert plan.extras["controls"] in audit_publication(plan).artifacts


def test_the_plan_names_what_is_left_out_and_what_each_adds(plan, monkeypatch):
    monkeypatch.setattr("selectimprove.dag.artifact.Artifact.done", property(lambda artifact: ROOT / "nowhere"))
    left_out = forecast(plan, cores=2).splitlines()[-1]
    assert left_out.startswith("not in `figures`, but made by name, or all by `extras`: controls")
    assert all(name in left_out for name in plan.extras)
    assert "not in `figures`" not in forecast(plan, cores=2, names=["main"])


def test_checkpoints_of_curves_are_asked_the_sets_that_figures_draw(plan):
    def curves(experiment: str, training: str) -> list[dict]:
        runs = [run for run in plan.measures[experiment].config.runs if run.training == training]
        evaluations = (plan.measures[experiment].inputs[f"evaluation/{run.name}"] for run in runs)
        return [evaluation.config.curve_problems for evaluation in evaluations]

    assert curves("main", "rl_6_9") == [{"6-9": 256}] * 3
    assert curves("gf13", "rl_6_9") == [{"6-9": 256, "2-5": 256}] * 3
    # One checkpoint is not a curve.
    assert curves("main", "sft") == [{}] * 3
    assert curves("steps_6_15", "rl_6_15") == [{}]
