"""The param `report_to`: no key covers it."""

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan


def plan(report_to: str) -> Plan:
    return Plan(load_params(ROOT / "params.yaml", {"scale": "smoke", "report_to": report_to}))


def test_no_artifact_is_another_one_for_being_reported():
    assert [*plan("tensorboard").artifacts["rl"]] == [*plan("none").artifacts["rl"]]
