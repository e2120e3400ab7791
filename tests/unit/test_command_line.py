"""The command line: its help, and the names that `selectimprove plan` takes."""

import argparse

import pytest

from conftest import laptop_plan
from selectimprove.__main__ import COMMANDS, main
from selectimprove.commands import plan as command
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError


@pytest.fixture
def plan() -> Plan:
    return laptop_plan()


@pytest.fixture
def planned(plan, monkeypatch):
    """Return a function that runs `selectimprove plan` and returns the names that it forecasts."""
    asked = []
    monkeypatch.setattr(command, "open_plan", lambda scale, config: plan)
    monkeypatch.setattr(command, "forecast", lambda plan, cores, names, gpus: asked.extend(names))

    def run(words: str) -> list[str]:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        command.run(parser.parse_args(words.split()))
        return asked

    return run


def test_the_figures_are_a_target_of_the_plan(plan, planned):
    assert planned("figures audit") == [*plan.exhibits, "audit"]


@pytest.mark.parametrize(
    ("name", "meant"), [("figure", "figures"), ("figurse", "figures"), ("audti", "audit"), ("tabel1", "table1")]
)
def test_an_unknown_target_suggests_the_nearest_one(planned, name, meant):
    with pytest.raises(ParamsError, match=f"^target: '{name}' is unknown; did you mean '{meant}'\\?$"):
        planned(name)


def test_the_help_says_what_each_command_is_for(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for name, summary in zip(
        COMMANDS, ("what a run would make", "behind a number", "with a card", "the change"), strict=True
    ):
        assert summary in said.split(f" {name} ")[1]
