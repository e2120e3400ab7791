"""The param `report_to`: no key covers it, and a library that is missing is refused before anything starts."""

import pytest

from conftest import ROOT
from selectimprove.config import checks
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError


def plan(report_to: str) -> Plan:
    return Plan(load_params(ROOT / "params.yaml", {"scale": "smoke", "report_to": report_to}))


def test_no_artifact_is_another_one_for_being_reported(monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: name == "tensorboardX")
    assert [*plan("tensorboard").artifacts["rl"]] == [*plan("none").artifacts["rl"]]


@pytest.mark.parametrize("library", ["tensorboard", "trackio", "wandb"])
def test_a_library_that_is_not_installed_is_refused_by_name(library, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    with pytest.raises(ParamsError, match=f"report_to: {library} is not installed; `pip install {library}`"):
        plan(library)
