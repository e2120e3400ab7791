"""The tables behind figures, against counts one generation at a time."""

from itertools import product
from math import comb

import numpy as np
import pandas as pd
import pytest

from selectimprove.analysis.estimates import (
    measure_first_errors,
    measure_interventions,
    measure_mechanisms,
    measure_pass_rates,
    measure_rewards,
    measure_strategies,
)
from selectimprove.analysis.stats import proportion_interval
from selectimprove.config.sections import Statistics

STATISTICS = Statistics(confidence=0.9, n_bootstrap=50)
STRATEGIES = ("forward", "backward", "other")
ERRORS = ("none", "step", "answer")
MODEL = ["variant", "sft", "training", "seed"]
CELL = ["rl_step", "problem_set", "problem_type"]


@pytest.fixture(scope="module")
def generations() -> pd.DataFrame:
    """Generations of two models on two seeds; problems have two or three samples."""
    rng, rows = np.random.default_rng(0), []
    for training, seed, problem_id in product(("sft", "rl"), ("1", "2"), range(12)):
        of = {"variant": "default", "sft": "FB", "training": training, "seed": seed}
        of |= {"rl_step": 80 * (training == "rl"), "problem_set": "6-9", "problem_id": problem_id}
        of |= {"problem_type": ("evaluation", "inversion")[problem_id % 2], "n_steps": 6 + problem_id // 2 % 2}
        for _ in range(2 + (problem_id > 4)):
            # No model takes the third strategy.
            chosen = {"strategy": str(rng.choice(STRATEGIES[:2])), "first_error": str(rng.choice(ERRORS))}
            rows.append(of | chosen | {"correct": bool(rng.random() < 0.6), "n_right": int(rng.integers(4))})
    return pd.DataFrame(rows)


def rows_of(table: pd.DataFrame, cell: dict) -> list[dict]:
    """List the rows of a cell, whose ``pooled`` seed and ``all`` stand for any."""
    wanted = {name: value for name, value in cell.items() if value not in ("pooled", "all")}
    return [row for row in table.to_dict("records") if all(str(row[name]) == str(wanted[name]) for name in wanted)]


def by_problem(rows: list[dict]) -> list[list[dict]]:
    """Group rows by problem; each seed has its own problems."""
    problems: dict[tuple, list[dict]] = {}
    for row in rows:
        problems.setdefault((row["seed"], row["problem_id"]), []).append(row)
    return list(problems.values())


def cells_of(table: pd.DataFrame, columns: list[str]) -> list[dict]:
    return table[columns].to_dict("records")


def test_pass_rates_are_means_over_problems_in_every_cell_and_margin(generations):
    found = measure_pass_rates(generations, "n_steps", STATISTICS)
    cells = cells_of(found, [*MODEL, *CELL, "n_steps"])
    values = product(("sft", "rl"), ("1", "2", "pooled"), ("evaluation", "inversion", "all"), ("6", "7", "all"))
    assert sorted((c["training"], c["seed"], c["problem_type"], c["n_steps"]) for c in cells) == sorted(values)
    for cell, row in zip(cells, found.to_dict("records"), strict=True):
        problems = by_problem(rows_of(generations, cell))
        sizes, passed = [len(p) for p in problems], [sum(r["correct"] for r in p) for p in problems]
        rates = [c / n for n, c in zip(sizes, passed, strict=True)]
        k = min(sizes)
        assert row["pass_at_1"] == pytest.approx(np.mean(rates))
        assert row["k"] == k
        missed = [comb(n - c, k) / comb(n, k) for n, c in zip(sizes, passed, strict=True)]
        assert row["pass_at_k"] == pytest.approx(1 - np.mean(missed))
        assert (row["n_problems"], row["n_samples"]) == (len(problems), sum(sizes))
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(proportion_interval(rates, 0.9, sum(sizes)))


def test_shares_and_pass_rates_of_strategies_are_those_of_generations(generations):
    found = measure_strategies(generations, "n_steps", STRATEGIES, STATISTICS)
    # Two models, two types, two seeds and both together.
    assert len(found) == 2 * 2 * 3 * len(STRATEGIES)
    for cell, row in zip(cells_of(found, [*MODEL, *CELL]), found.to_dict("records"), strict=True):
        rows = rows_of(generations, cell)
        taken = [r for r in rows if r["strategy"] == row["strategy"]]
        assert row["share"] == len(taken) / len(rows)
        assert row["pass_rate"] == pytest.approx(np.mean([r["correct"] for r in taken] or [np.nan]), nan_ok=True)
        assert (row["n_samples"], row["n_problems"]) == (len(taken), len(by_problem(rows)))
        shares = [np.mean([r["strategy"] == row["strategy"] for r in p]) for p in by_problem(rows)]
        assert (row["share_low"], row["share_high"]) == pytest.approx(proportion_interval(shares, 0.9, len(rows)))


@pytest.mark.parametrize("parts", [False, True])
def test_first_errors_are_shares_of_the_generations_of_all_seeds(generations, parts):
    table = generations if parts else generations.drop(columns="n_right")
    found = measure_first_errors(table, "n_steps", (*ERRORS, "format"))
    assert len(found) == 2 * 2 * 2
    for row in found.to_dict("records"):
        rows = rows_of(table, {name: row[name] for name in (*MODEL[:3], *CELL, "n_steps")})
        assert row["n_generations"] == len(rows)
        for error in (*ERRORS, "format"):
            assert row[error] == pytest.approx(np.mean([r["first_error"] == error for r in rows]))
        assert ("n_right" in row) == parts
        if parts:
            assert row["n_right"] == pytest.approx(np.mean([r["n_right"] for r in rows]))


def test_rewards_are_means_over_the_rollouts_of_a_step(generations):
    rng = np.random.default_rng(1)
    rollouts = generations.assign(
        step=rng.integers(1, 4, len(generations)),
        reward=generations["correct"].astype(float),
        completion=[" ".join(["e1"] * n) for n in rng.integers(1, 9, len(generations))],
    )
    found = measure_rewards(rollouts, "n_steps", STRATEGIES)
    assert found["n_rollouts"].sum() == len(rollouts)
    for row in found.to_dict("records"):
        rows = rows_of(rollouts, {name: row[name] for name in (*MODEL, "step", "problem_type", "n_steps")})
        assert row["n_rollouts"] == len(rows)
        assert row["reward"] == pytest.approx(np.mean([r["reward"] for r in rows]))
        assert row["length"] == pytest.approx(np.mean([len(r["completion"].split()) for r in rows]))
        for strategy in STRATEGIES:
            assert row[strategy] == pytest.approx(np.mean([r["strategy"] == strategy for r in rows]))
    assert measure_rewards(rollouts[:0], "n_steps", STRATEGIES).empty


@pytest.fixture(scope="module")
def interventions(generations) -> pd.DataFrame:
    """Each problem once greedily and twice by sampling, told each strategy."""
    problems = generations.drop_duplicates([*MODEL, "problem_id"]).drop(columns=["correct", "strategy"])
    rng, told = np.random.default_rng(2), product(STRATEGIES[:2], (True, False, False))
    tables = [problems.assign(told=strategy, greedy=greedy) for strategy, greedy in told]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(correct=rng.random(len(table)) < 0.5)


def test_interventions_are_averaged_over_problems_by_what_is_told_and_how_it_is_decoded(interventions):
    found = measure_interventions(interventions, STATISTICS)
    assert len(found) == 2 * 2 * 3 * 2 * 2
    keys = [*MODEL, *CELL, "greedy", "told"]
    for cell, row in zip(cells_of(found, keys), found.to_dict("records"), strict=True):
        problems = by_problem(rows_of(interventions, cell))
        rates = [np.mean([r["correct"] for r in p]) for p in problems]
        n_samples = sum(map(len, problems))
        assert (row["pass_at_1"], row["n_problems"]) == (pytest.approx(np.mean(rates)), len(problems))
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(proportion_interval(rates, 0.9, n_samples))
    assert measure_interventions(interventions[:0], STATISTICS).empty


def test_mechanisms_are_means_over_types_and_seeds_of_a_change_that_is_counted(generations, interventions):
    openings = {strategy: strategy for strategy in STRATEGIES[:2]}
    begun = generations.assign(completion=generations["strategy"] + " e1")
    # Checkpoints before the last do not count.
    earlier = begun[begun["training"] == "rl"].assign(rl_step=40, correct=True)
    found = measure_mechanisms(pd.concat([begun, earlier]), interventions, "n_steps", openings, STATISTICS)
    assert len(found) == 3 * 3
    assert set(zip(found["training"], found["rl_step"], strict=True)) == {("rl", 80)}
    table = found.set_index(["seed", "problem_type"])
    for seed, problem_type in product(("1", "2"), ("evaluation", "inversion")):
        of = {"seed": seed, "problem_type": problem_type}
        before, after = (
            np.mean(
                [np.mean([r["correct"] for r in p]) for p in by_problem(rows_of(begun, of | {"training": training}))]
            )
            for training in ("sft", "rl")
        )
        assert table.loc[(seed, problem_type), "change"] == pytest.approx(after - before)
    parts = ["change", "selection", "improvement", "sharpening", "capability"]
    single = table.drop(index="pooled").drop(index="all", level="problem_type")[parts]
    for (seed, problem_type), row in table[parts].iterrows():
        chosen = [(s, t) for s, t in single.index if seed in (s, "pooled") and problem_type in (t, "all")]
        np.testing.assert_allclose(row, single.loc[chosen].mean())
    assert all((table[f"{part}_low"] <= table[f"{part}_high"]).all() for part in parts)
    assert (table["change_high"] - table["change_low"] > 0).any()
    # Models that do the same before and after RL.
    same = generations.assign(completion="forward e1", strategy="forward", correct=True)
    agreed = measure_mechanisms(same, interventions.assign(correct=True), "n_steps", openings, STATISTICS)
    assert all((agreed[f"{part}_high"] > agreed[f"{part}_low"]).all() for part in parts)
    for untold in ((begun, interventions[:0], "n_steps", openings), (begun, interventions, "n_steps", {})):
        assert measure_mechanisms(*untold, STATISTICS).empty
