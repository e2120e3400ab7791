"""Rewards, generations and pass rates of the whole DAG, counted a second time by other code."""

from pathlib import Path

import pandas as pd
import pytest

from second_code import check_generations, check_pass_rates, check_rollouts
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.plan import Plan

CHECKS = {
    "rl": check_rollouts,
    "rft": check_rollouts,
    "evaluation": check_generations,
    "measures": check_pass_rates,
}


@pytest.fixture
def artifacts(smoke, monkeypatch) -> list[Artifact]:
    """Everything behind the figures and tables that were drawn."""
    monkeypatch.chdir(smoke.folder)
    plan = Plan(load_params(Path("params.yaml")))
    return collect_ancestors(plan.exhibits.values())


@pytest.mark.parametrize("stage", CHECKS)
def test_a_second_count_agrees(artifacts, stage):
    of_stage = [artifact for artifact in artifacts if artifact.stage == stage]
    assert of_stage
    assert [line for artifact in of_stage for line in CHECKS[stage](artifact)] == []


@pytest.mark.parametrize(
    ("stage", "file", "column", "said"),
    [
        ("rl", "rollouts", "reward", "row 0: reward"),
        ("evaluation", "generations", "rl_step", "generations of the RL steps"),
        ("measures", "pass_rates", "pass_at_1", "pass@1 of"),
    ],
)
def test_a_second_count_finds_another_number(artifacts, monkeypatch, stage, file, column, said):
    artifact = next(artifact for artifact in artifacts if artifact.stage == stage)
    read = pd.read_parquet

    def read_forged(path: Path) -> pd.DataFrame:
        table = read(path)
        return table.assign(**{column: 1 - table[column]}) if path == artifact.folder / f"{file}.parquet" else table

    monkeypatch.setattr(pd, "read_parquet", read_forged)
    assert said in next(CHECKS[stage](artifact))
