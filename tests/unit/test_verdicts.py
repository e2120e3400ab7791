"""Claims and verdicts, against textbook tests and brute force."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from conftest import ROOT, laptop_plan
from selectimprove.analysis.claims import Claim, ClaimTest, Quantity, quantities, read_claims
from selectimprove.analysis.claims.judging import Outcome, judge_difference, reach_verdicts
from selectimprove.analysis.claims.quantities import Labels, measure
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.stages.verdicts import describe_detail, upper_bound

OF = {"sft": "FB", "training": "rl_6_9"}
EFFECTS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=6).filter(lambda values: np.std(values, ddof=1) > 0.02)


def judge(effects, n_problems=1000, **bound):
    return judge_difference(ClaimTest(of=OF, **bound), [np.full(11, effect) for effect in effects], n_problems, 0.95)


@settings(max_examples=100, deadline=None)
@given(EFFECTS, st.floats(-0.3, 0.3))
def test_with_seeds_it_is_students_test(effects, margin):
    above, below = judge(effects, above=margin), judge(effects, below=margin)
    assert above.p == pytest.approx(stats.ttest_1samp(effects, margin, alternative="greater").pvalue, abs=1e-9)
    assert below.p == pytest.approx(stats.ttest_1samp(effects, margin, alternative="less").pvalue, abs=1e-9)
    interval = stats.ttest_1samp(effects, 0).confidence_interval(0.95)
    assert (above.low, above.high) == pytest.approx(tuple(interval), abs=1e-9)


BOUNDS = st.sampled_from([{"above": 0.0}, {"above": 0.1}, {"above": -0.02}, {"below": 0.02}, {"within": 0.05}])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=3), BOUNDS, st.booleans())
def test_p_values_are_probabilities_and_each_says_what_it_can(effects, bound, is_level):
    test = ClaimTest(of=OF, less=0.85 if is_level else 0.0, **bound)
    found = judge_difference(
        test, [np.append(effect, effect + np.linspace(-0.1, 0.1, 9)) for effect in effects], 30, 0.9
    )
    p_values = {name: getattr(found, name) for name in ("p", "p_smaller", "p_larger", "p_reversed")}
    assert all(0 <= p <= 1 for p in p_values.values())
    ((kind, at),) = bound.items()
    # A level may be missed or exceeded; a difference may miss a margin above zero, or have the other sign.
    says = {"p"} | ({"p_smaller"} if kind == "above" and (is_level or at > 0) else set())
    says |= {"p_smaller", "p_larger"} if kind == "within" and is_level else set()
    says |= {"p_reversed"} if kind == "below" or not is_level else set()
    assert {name for name, p in p_values.items() if name not in says and p < 1} == set()


def test_a_claim_is_tested_on_the_differences_of_all_seeds(monkeypatch):
    of, less = Quantity(sft="FB", training="rl_6_9"), Quantity(sft="B", training="rl_6_9")
    rates = {("FB", 1): 0.8, ("FB", 2): 0.9, ("B", 1): 0.5, ("B", 2): 0.4}

    def measure(quantity, experiment, seed, labels):
        assert (experiment, labels) == ("main", "the labels")
        return np.full(3, rates[quantity.sft, seed]), 100 * seed if quantity is of else 7

    monkeypatch.setattr(quantities, "measure", measure)
    told = {"statement": "s", "source": "s", "paper": "p", "experiment": "main"}
    tests = [ClaimTest(of=of, less=less, above=0.2), ClaimTest(of=of, less=0.85, above=0.0)]
    found = quantities.run_tests(Claim(**told, tests=tests), [1, 2], "the labels", 0.95)
    assert [(one.effect, one.n_problems, one.n_seeds) for one in found] == [
        (pytest.approx(0.4), 300, 2),
        (pytest.approx(0.0), 300, 2),
    ]
    assert found[0].p == pytest.approx(stats.ttest_1samp([0.3, 0.5], 0.2, alternative="greater").pvalue)


@settings(max_examples=100, deadline=None)
@given(EFFECTS, st.floats(0.01, 0.4))
def test_equivalence_is_two_one_sided_tests(effects, margin):
    p = max(judge(effects, above=-margin).p, judge(effects, below=margin).p)
    assert judge(effects, within=margin).p == pytest.approx(p, abs=1e-9)


def test_with_one_seed_the_draws_over_problems_are_the_error():
    draws = np.random.default_rng(0).normal(0.1, 0.02, 4000)
    found = judge_difference(ClaimTest(of=OF, above=0.05), [np.concatenate([[0.1], draws])], 1000, 0.95)
    assert found.p == pytest.approx(stats.norm.sf(0.05 / 0.02), rel=0.2)
    assert (found.low, found.high) == pytest.approx((0.1 - 1.96 * 0.02, 0.1 + 1.96 * 0.02), abs=0.002)


def test_agreement_of_all_problems_is_not_certainty():
    found = judge([0.0], n_problems=10, within=0.05)
    assert found.low < 0 < found.high
    assert found.p > 0.05


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), max_size=3), min_size=1, max_size=8))
def test_all_tests_of_a_claim_must_hold_and_holm_corrects_over_claims(p_values):
    fields = {
        "effect": 0.0,
        "low": -1.0,
        "high": 1.0,
        "p_smaller": 1.0,
        "p_larger": 1.0,
        "p_reversed": 1.0,
        "n_problems": 1,
        "n_seeds": 1,
    }
    outcomes = {f"c{i}": [Outcome(p=p, **fields) for p in claim] for i, claim in enumerate(p_values)}
    verdicts = reach_verdicts(outcomes, 0.95)
    run = sorted((max(claim), f"c{i}") for i, claim in enumerate(p_values) if claim)
    corrected = 0.0
    for position, (p, name) in enumerate(run):
        corrected = max(corrected, min(1.0, p * (len(run) - position)))
        assert verdicts[name][1] == pytest.approx(corrected)
        assert (verdicts[name][0] == "reproduced") == (verdicts[name][1] < 1 - 0.95)
    assert [name for name, (verdict, _) in verdicts.items() if verdict == "not run"] == [
        f"c{i}" for i, claim in enumerate(p_values) if not claim
    ]


GAIN = {"less": {"sft": "FB"}}


@pytest.mark.parametrize(
    ("effects", "test", "verdict"),
    [
        ([0.19, 0.2, 0.21], {"above": 0.1}, "reproduced"),
        ([0.19, 0.2, 0.21], {"above": 0.4}, "smaller"),
        ([-0.21, -0.2, -0.19], {"above": 0.1}, "reversed"),
        ([-0.1, 0.2, 0.5], {"above": 0.1}, "inconclusive"),
        # A level that the paper reaches cannot have another sign.
        ([-0.21, -0.2, -0.19], {"less": 0.85, "above": 0.0}, "smaller"),
        ([-0.21, -0.2, -0.19], GAIN | {"above": 0.0}, "reversed"),
        # There should be no drop, no gain, no change.
        ([-0.21, -0.2, -0.19], {"above": -0.1}, "reversed"),
        ([0.19, 0.2, 0.21], {"below": 0.05}, "reversed"),
        ([0.19, 0.2, 0.21], {"within": 0.1}, "reversed"),
        ([0.0, 0.01, -0.01], {"within": 0.1}, "reproduced"),
        ([-0.31, -0.3, -0.29], {"less": 0.9, "within": 0.05}, "smaller"),
        ([0.31, 0.3, 0.29], {"less": 0.245, "within": 0.05}, "larger"),
    ],
)
def test_verdicts_say_what_was_found(effects, test, verdict):
    found = judge(effects, **test)
    assert reach_verdicts({"claim": [found]}, 0.95)["claim"][0] == verdict


def test_one_reversed_test_reverses_a_claim_unless_chance_among_all_tests_explains_it():
    holds, reversed_ = judge([0.19, 0.2, 0.21], above=0.1), judge([-0.21, -0.2, -0.19], above=0.1)
    assert reach_verdicts({"claim": [holds, reversed_]}, 0.95)["claim"][0] == "reversed"
    weak = reversed_.model_copy(update={"p_reversed": 0.03, "p_smaller": 1.0})
    assert reach_verdicts({"claim": [weak]}, 0.95)["claim"][0] == "reversed"
    assert reach_verdicts({"claim": [holds, weak]}, 0.95)["claim"][0] == "inconclusive"


@pytest.mark.parametrize("n", [8, 64, 256])
@pytest.mark.parametrize(("before", "after"), [(0.02, 0.02), (0.5, 0.5), (0.0, 0.02), (0.97, 0.99)])
def test_a_claim_at_its_margin_is_called_reproduced_in_one_case_in_twenty(n, before, after):
    """False positives at the margin, by simulation: two models answer n problems twice; the true difference is the margin."""
    rng, runs, margin, found = np.random.default_rng(n), 400, after - before, 0
    for _ in range(runs):
        rates = (rng.binomial(2, after, n) - rng.binomial(2, before, n)) / 2
        draws = np.concatenate([[rates.mean()], rng.multinomial(n, np.ones(n) / n, 200) @ rates / n])
        found += judge_difference(ClaimTest(of=OF, below=margin + 1e-9), [draws], n, 0.95).p < 0.05
    # 5 %, and three standard errors of 400 runs.
    assert found / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


@pytest.mark.parametrize(("n", "p"), [(1024, 0.98**1024), (64, 0.98**64)])
def test_where_nothing_varies_the_p_value_is_exact(n, p):
    assert judge_difference(ClaimTest(of=OF, below=0.02), [np.zeros(50)], n, 0.95).p == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("effect", [0.0, 0.2, -0.2])
def test_one_number_per_model_and_one_seed_show_nothing_whatever_the_number(effect):
    found = judge_difference(ClaimTest(of=OF, within=0.05), [np.array([effect])], 0, 0.95)
    assert (found.effect, found.low, found.high, found.n_problems) == (effect, None, None, 0)
    assert reach_verdicts({"claim": [found]}, 0.95)["claim"] == ("inconclusive", 1.0)


@pytest.mark.parametrize(("center", "verdict"), [(0.0, "reproduced"), (0.2, "reversed"), (0.05, "inconclusive")])
def test_numbers_without_draws_are_tested_over_seeds(center, verdict):
    effects = [center - 0.004, center, center + 0.004]
    found = judge_difference(ClaimTest(of=OF, within=0.05), [np.array([effect]) for effect in effects], 0, 0.95)
    tests = [
        stats.ttest_1samp(effects, side * 0.05, alternative=way).pvalue for side, way in ((-1, "greater"), (1, "less"))
    ]
    assert found.p == pytest.approx(max(tests))
    assert reach_verdicts({"claim": [found]}, 0.95)["claim"][0] == verdict


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 20), st.integers(21, 30000))
def test_the_upper_bound_is_the_share_at_which_so_few_would_show_in_one_case_in_twenty(shown, n):
    bound = upper_bound(shown, n, 0.95)
    assert stats.binom.cdf(shown, n, bound) == pytest.approx(0.05, rel=1e-6)
    if shown == 0:
        assert bound == pytest.approx(3 / n, rel=0.08)


def test_the_detail_counts_problems_before_rl_and_all_rollouts():
    rows = {
        ("sft", "2-5"): [(0, "backward"), (0, "forward"), (1, "backward")],
        ("sft", "6-9"): [(0, "backward"), (0, "backward")],
        ("rl_6_9", "rollouts"): [(0, "forward"), (0, "forward"), (1, "backward"), (1, "other")],
    }

    class Counted:
        def test_sets(self, model):
            return [name for training, name in rows if training == model[3]]

        def rows(self, model, name):
            assert model[:3] == ("main", "default", "B")
            return pd.DataFrame(rows[model[3], name], columns=["problem_id", "strategy"])

    of = {"sft": "B", "value": "forward"}
    test = {"of": of | {"training": "rl_6_9"}, "less": of, "below": 0.02}
    told = {"statement": "s", "source": "s", "paper": "p", "experiment": "main", "detail": "hidden_strategy"}
    text = describe_detail(Claim(**told, tests=[test]), [7], Counted(), [], 0.95)
    # 1 of 3 problems: (1 - p)^3 + 3 p (1 - p)^2 = 0.05 at p = 0.865.
    assert "B took forward on 1 of 3 problems before RL (π₀ at most 86 %) and in 2 of 4 rollouts of rl_6_9" in text


def test_quantities_are_counted_from_labels_at_the_end_of_training(tmp_path):
    def row(problem_id, problem_type, strategy, correct, **where):
        of = {"problem_id": problem_id, "problem_type": problem_type, "n_steps": 6, "completion": ""}
        return of | {"strategy": strategy, "correct": correct} | where

    last = {"problem_set": "6-9", "rl_step": 80}
    generations = [
        row(0, "evaluation", "forward", True, **last),
        row(1, "evaluation", "backward", False, **last),
        row(2, "inversion", "backward", True, **last),
        row(2, "inversion", "other", True, **last),
        row(0, "evaluation", "forward", False, problem_set="6-9", rl_step=40),
        row(0, "evaluation", "forward", False, problem_set="2-5", rl_step=80),
    ]
    rollouts = [
        *(row(n, "evaluation", "forward", True, step=80) for n in range(4)),
        *(row(n, "inversion", strategy, True, step=56) for n, strategy in enumerate(["forward", "backward"], 4)),
        row(6, "inversion", "forward", False, step=55),
    ]
    pd.DataFrame(generations).to_parquet(tmp_path / "generations.parquet")
    pd.DataFrame(rollouts).to_parquet(tmp_path / "rollouts.parquet")
    config = SimpleNamespace(
        tasks={"main": SimpleNamespace(task_name="chains")}, statistics=SimpleNamespace(n_bootstrap=20)
    )
    labels = Labels(config, {"labels/main/default/FB/rl_6_9/7": tmp_path})

    def measured(**of):
        draws, n = measure(Quantity(**OF, **of), "main", 7, labels)
        assert len(draws) == 21
        return draws[0], n

    assert measured() == (0.75, 3)
    assert measured(problem_type="inversion", value="other") == (0.5, 1)
    assert measured(where={"n_steps": 6}, value="forward") == (0.25, 3)
    # Of six rollouts in the last 25 steps, five are forward and four are of evaluation problems.
    assert measured(value="rollouts_excess") == (pytest.approx(1 / 6), 6)


@pytest.mark.parametrize(
    ("value", "known"),
    [("by part", True), ("forward", False), ("rollouts_excess", False), ("selection", False), ("cross_entropy", True)],
)
def test_a_value_is_a_strategy_of_the_claims_own_task_or_one_that_all_tasks_have(tmp_path, value, known):
    of = {"sft": "single", "value": value, "problem_set": "test"}
    claim = {"statement": "s", "source": "s", "paper": "p", "experiment": "composition"}
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"some_claim": claim | {"tests": [{"of": of, "above": 0}]}}))
    params = load_params(ROOT / "params.yaml")
    if known:
        assert read_claims(path, params)["some_claim"].tests[0].of.value == value
    else:
        with pytest.raises(ParamsError, match=f"tests.0.of.value: '{value}' is unknown; use one of pass_at_1"):
            read_claims(path, params)


def test_the_cross_entropy_is_that_after_the_last_epoch(tmp_path):
    log = {"step": [16, 32, 32, 48, 64, 64, 64], "eval_loss": [None, None, 0.3, None, None, 0.2, None]}
    pd.DataFrame(log).to_parquet(tmp_path / "training.parquet")
    labels = Labels(None, {"sft/main/half/B/sft/7": tmp_path})
    assert labels.log_cross_entropy(("main", "half", "B", "sft", 7)) == pytest.approx(np.log(0.2))


def test_the_laptop_scale_runs_every_claim_that_it_can():
    plan = laptop_plan()
    not_run = {name for name, claim in read_claims().items() if not plan.can_run(claim)}
    assert {name for name in not_run if not name.startswith("table1_")} == set()
    assert len(not_run) == 9


def test_a_claim_about_mechanisms_needs_models_that_were_told_strategies():
    untold = {"seeds": {"overrides": {"evaluation": {"told_problems": 0}}}}
    plan = Plan(load_params(ROOT / "params.yaml", {"experiments": untold}))
    of_seeds = {name: claim.model_copy(update={"experiment": "seeds"}) for name, claim in read_claims().items()}
    assert not plan.can_run(of_seeds["easy_rl_selects"])
    assert plan.can_run(of_seeds["only_fb_nears_100"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tests": [{"of": OF}]}, "exactly one of above, below and within"),
        ({"tests": [{"of": {"sft": "FB", "vallue": "forward"}, "above": 0}]}, "vallue"),
        ({"statment": "misspelt"}, "statment"),
    ],
)
def test_a_mistake_in_the_claims_is_named(tmp_path, change, expected):
    claim = {"statement": "s", "source": "s", "paper": "p", "experiment": "main", "tests": []}
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"some_claim": claim | change}))
    with pytest.raises(ParamsError, match=expected):
        read_claims(path)
