"""The example of `workflow/docs/extending.md` is one that the params take."""

import re

import yaml

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan


def test_the_documented_mix_and_experiments_are_planned():
    page = (ROOT / "workflow/docs/extending.md").read_text()
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.S)[1])
    plan = Plan(load_params(ROOT / "params.yaml", example))
    gf17, slower = (plan.measures[name] for name in ("gf17", "slower"))
    assert {run.sft for run in gf17.config.runs} == {"FB", "F60"}
    assert {variant.task.field_order for variant in gf17.config.variants.values()} == {17}
    assert slower.config.variants["slow"].rl.learning_rate == 1e-4
    # The default is the model of the main experiment, which is not trained again.
    policies = [measures.inputs["policy/default/FB/rl_6_9/110"] for measures in (slower, plan.measures["main"])]
    assert policies[0] is policies[1]
