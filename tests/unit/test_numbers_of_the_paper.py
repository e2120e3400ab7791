"""The paper's numbers are the same in the tables that notebooks draw and in the claims that were fixed beforehand."""

import re

import pytest

from selectimprove.analysis.claims import read_claims
from selectimprove.analysis.tables import RL_SETTINGS, SFT_LEARNING_RATE, TABLE_1

CLAIMS = read_claims()
MODELS = [(name, *re.fullmatch(r"table1_(\w+?)_(\w+)", name).groups()) for name in CLAIMS if name.startswith("table1_")]


@pytest.mark.parametrize(("name", "sft", "training"), MODELS)
def test_a_claim_about_table_1_names_its_cell_and_tests_for_it(name, sft, training):
    value = TABLE_1[sft, training, "all"]
    (test,) = CLAIMS[name].tests
    assert (test.of.sft, test.of.training, test.of.problem_type) == (sft, training, "all")
    assert CLAIMS[name].paper == f"{value}"
    assert test.less == pytest.approx(value / 100)


def test_table_1_has_a_cell_per_mix_training_and_type():
    assert len(MODELS) * 3 == len(TABLE_1) == 27
    for sft, training, _ in TABLE_1:
        cells = [TABLE_1[sft, training, kind] for kind in ("inversion", "all", "evaluation")]
        # The mean of the types lies between them.
        assert cells in (sorted(cells), sorted(cells)[::-1])


def test_changes_that_claims_quote_are_those_of_table_1():
    seen = set()
    for claim in CLAIMS.values():
        for mix, text in re.findall(r"\b(B|F|FB) ((?:(?:inversion|evaluation) [\d.]+ to [\d.]+(?:, )?)+)", claim.paper):
            training = next(test.of.training for test in claim.tests if test.of.sft == mix)
            for kind, before, after in re.findall(r"(\w+) ([\d.]+) to ([\d.]+)", text):
                assert (TABLE_1[mix, "sft", kind], TABLE_1[mix, training, kind]) == (float(before), float(after))
                seen |= {(mix, "sft", kind), (mix, training, kind)}
    assert len(seen) > 12


def test_numbers_of_the_appendix_are_those_that_claims_quote():
    quoted = re.findall(r"(\.\d+)–(\.\d+) \((\w+)\)", CLAIMS["sft_rate_does_not_matter"].paper)
    assert len(quoted) == 3
    for least, most, mix in quoted:
        found = [SFT_LEARNING_RATE[mix, rate] for rate in (1e-4, 2e-4, 5e-4)]
        assert (min(found), max(found)) == (float(least), float(most))
        assert found == sorted(found)
    quoted = re.findall(r"(B|F|FB) (\d+) and (\d+)", CLAIMS["rl_settings_do_not_matter"].paper)
    assert len(quoted) == 3
    for mix, usual, doubled in quoted:
        assert [RL_SETTINGS[8, beta][mix] for beta in (0.05, 0.1)] == [int(usual), int(doubled)]
    assert set(RL_SETTINGS) == {(size, beta) for size in (8, 16) for beta in (0.05, 0.1)}
    # Near 100 with both strategies only, whatever the settings.
    assert all(max(row["B"], row["F"]) <= 60 < 96 <= row["FB"] for row in RL_SETTINGS.values())
