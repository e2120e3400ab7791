"""`selectimprove show` on real artifacts: its numbers are those of the figures and tables."""

import argparse
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from conftest import Checkout
from selectimprove.commands.show import add_arguments, find_models, measure_rows, read_rows
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan


def show(checkout: Checkout, words: str) -> list[str]:
    return checkout.run(f"selectimprove show {words}").stdout.splitlines()


def test_every_number_of_table_1_is_counted_alike(smoke, monkeypatch):
    monkeypatch.chdir(smoke.folder)
    plan = Plan(load_params(Path("params.yaml")))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for row in pd.read_csv(smoke.published / "tables/table1.csv").itertuples():
        options = parser.parse_args(["table1", row.sft, row.training, row.problem_type])
        measures, runs = find_models(plan, options)
        rows = read_rows(measures, runs, options)
        found = measure_rows(measures, rows, options)
        assert len(rows) == row.n_samples
        assert rows["correct"].mean() == pytest.approx(row.pass_at_1, abs=1e-6)
        for name in ("pass_at_1", "ci_low", "ci_high", "n_problems"):
            assert found[name] == pytest.approx(getattr(row, name), abs=1e-6)


def test_a_number_is_shown_with_its_artifacts_and_generations(smoke):
    lines = show(smoke, "table1 FB sft --wrong 3 --right 0")
    said = dict(re.split(r" {2,}", line, maxsplit=1) for line in lines if "  " in line)
    table = pd.read_csv(smoke.published / "tables/table1.csv").set_index(["sft", "training", "problem_type"])
    row = table.loc[("FB", "sft", "all")]
    assert said["generations"] == row["generations"]
    assert (smoke.folder / said["policy"] / "model.safetensors").exists()
    correct = round(row["pass_at_1"] * row["n_samples"])
    assert said["pass@1"].startswith(
        f"{100 * row['pass_at_1']:.1f} % = {correct} of {row['n_samples']} generations on {row['n_problems']} problems, "
        f"95 % interval {100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f} %"
    )
    assert [line[0] for line in lines if line.startswith(("✗", "✓"))] == ["✗"] * 3
    assert not any("\033" in line for line in lines)
    number, name, sample = re.match(
        r"✗ problem (\d+) of (\S+), sample (\d+)", next(line for line in lines if line[:1] == "✗")
    ).groups()
    folder = smoke.folder / row["generations"]
    inputs = json.loads((folder / "provenance.json").read_text())["inputs"]
    problems = pd.read_parquet(smoke.folder / "results/problems" / inputs[name] / "problems.parquet")
    problem = problems[problems["problem_id"] == int(number)].iloc[0]
    assert f"prompt    {problem['prompt']}" in lines
    assert any(line.startswith("answer") and f"expected e{problem['answer']};" in line for line in lines)
    generations = pd.read_parquet(folder / "generations.parquet")
    asked = (generations["problem_id"] == int(number)) & (generations["sample"] == int(sample))
    completion = generations[asked & (generations["problem_set"] == name)].iloc[0]["completion"]
    at = next(at for at, line in enumerate(lines) if line.startswith("response"))
    shown = " ".join(
        line[10:] for line in lines[at : lines.index(next(line for line in lines[at:] if line.startswith("answer  ")))]
    )
    assert re.sub(r" ✓| ✗ \w+", "", shown).split() == completion.split()


@pytest.mark.parametrize(
    "words",
    [
        "main FB rl_6_9 inversion --step 2 --n-steps 7",
        "interventions B sft inversion --told backward --greedy",
        "seeds FB rl_6_9 --problem-set 2-5",
        "composition two_part rl_3_5 --n-parts 3",
    ],
)
def test_other_numbers_are_found(smoke, words):
    lines = show(smoke, words)
    seeds = sum(line.startswith("seed") for line in lines[1:])
    assert seeds == (2 if words.startswith("seeds") else 1)
    assert any(line.startswith("pass@1") for line in lines)
