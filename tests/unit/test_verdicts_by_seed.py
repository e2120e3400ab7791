"""Which claims are tested on which seeds, for figures of them."""

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan


def plan_with(**changes) -> Plan:
    return Plan(load_params(ROOT / "params.yaml", changes))


def test_all_claims_are_tested_on_the_seeds_that_their_experiments_have():
    plan = plan_with(seeds=[110, 111], experiments={"gf13": {"seeds": [111, 112]}})
    inputs = plan.all_figures["claims_by_seed"].inputs
    verdicts = {name.removeprefix("verdicts/"): artifact for name, artifact in inputs.items() if name != "measures"}
    assert list(verdicts) == ["110", "111", "112", "all"]
    assert verdicts["all"] is plan.verdicts
    run = {seed: set(artifact.config.run) for seed, artifact in verdicts.items()}
    assert run["111"] == run["all"] == run["110"] | {"gf13"}
    assert run["112"] == {"gf13"} != run["110"]
    assert verdicts["111"].config.seeds["gf13"] == verdicts["111"].config.seeds["main"] == [111]
    labels = [input.name for name, input in verdicts["110"].inputs.items() if name.startswith("labels/")]
    assert labels
    assert all("-s110-" in name for name in labels)


def test_claims_of_one_experiment_are_tested_on_the_models_of_another():
    inputs = plan_with(seeds=[110]).all_figures["robustness"].inputs
    assert set(inputs["verdicts/all"].config.seeds) == {"seeds"}
    assert "only_fb_nears_100" in inputs["verdicts/113"].config.run
    assert "gf13" not in inputs["verdicts/113"].config.claims


def test_who_asks_for_one_experiment_does_not_get_the_claims_of_all():
    targets = plan_with().targets
    assert targets["claims_by_seed"] == ["claims_by_seed"]
    assert "table1" in targets["main"]
    assert "claims_by_seed" not in targets["main"]
