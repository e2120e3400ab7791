"""Settings of GRPO: what TRL takes, what reaches it, and which keys they are in."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from conftest import ROOT, laptop_plan
from selectimprove.config.loading import load_params
from selectimprove.config.params import Case
from selectimprove.config.stages import RlStage
from selectimprove.config.training import Rl
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.training.grpo import grpo_config

PARAMS = load_params(ROOT / "params.yaml")
KNOBS = [name for name, field in Rl.model_fields.items() if field.exclude_if and name != "method"]
# Of a copy of this package: the names of all artifacts, then those with a setting in a variant of one experiment.
NAMES = """
import json, sys
from pathlib import Path
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
variants = {"default": {}, "beta_0.1": {"rl": {"beta": 0.1}, "evaluation": {"checkpoints": "last"}}}
changed = variants | {"new": {"rl": {"delta": 2.0}}}
found = []
for own in (None, changed) if "new" in sys.argv else (None,):
    params = load_params(Path("params.yaml"), {"experiments": {"rl_settings": {"variants": own}}} if own else {})
    plan = Plan(params)
    found.append([f"{stage}/{name}" for stage, names in plan.artifacts.items() for name in sorted(a.name for a in names.values())])
print(json.dumps(found))
"""


def names(plan: Plan) -> dict[str, set[str]]:
    return {stage: {artifact.name for artifact in by_key.values()} for stage, by_key in plan.artifacts.items()}


def stage_config(**settings) -> RlStage:
    return RlStage(
        task_name="chains",
        task=Case(PARAMS, "chains").settings,
        seed=5,
        rl=Rl.model_validate(PARAMS.rl.model_dump() | settings),
        optimizer=PARAMS.optimizer,
        system_prompt=None,
        sampling=PARAMS.sampling,
    )


@pytest.mark.parametrize("name", ["loss_type", "scale_rewards", "importance_sampling_level"])
def test_what_is_allowed_is_what_trl_documents(name):
    folder = Path(importlib.util.find_spec("trl").submodule_search_locations[0])
    text = (folder / "trainer/grpo_config.py").read_text()
    about = re.search(rf"^        {name} \(`str.*?(?=^        \w+ \(`)", text, re.M | re.S)[0]
    # A value is in code and in quotes.
    documented = set(re.findall(r'`"(\w+)"`', about))
    assert set(get_args(Rl.model_fields[name].annotation)) == documented


def test_at_their_defaults_trl_is_told_what_the_types_say(tmp_path):
    told = grpo_config(stage_config(), tmp_path, 10)
    defaults = {name: Rl.model_fields[name].default for name in KNOBS}
    assert defaults.pop("kl_estimator") == "k3"
    assert not told.use_bias_correction_kl
    assert {name: getattr(told, name) for name in defaults} == defaults


def test_what_is_set_reaches_trl(tmp_path):
    settings = {
        "loss_type": "dr_grpo", "scale_rewards": "none", "epsilon": 0.1, "epsilon_high": 0.28, "num_iterations": 2, "top_p": 0.9,
        "importance_sampling_level": "sequence",
    }  # fmt: skip
    told = grpo_config(stage_config(kl_estimator="k3_corrected", **settings), tmp_path, 10)
    assert {name: getattr(told, name) for name in settings} == settings
    assert told.use_bias_correction_kl


def test_a_setting_at_its_default_is_in_no_config():
    dumped = json.loads(stage_config(loss_type="dapo", top_p=1).model_dump_json())["rl"]
    assert not dumped.keys() & set(KNOBS)
    assert json.loads(stage_config(top_p=0.9).model_dump_json())["rl"] == dumped | {"top_p": 0.9}


def test_one_more_setting_is_one_line_and_changes_no_key(tmp_path):
    def names_of(*arguments: str) -> list[list[str]]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "workflow")}
        command = [sys.executable, "-c", NAMES, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    shutil.copytree(ROOT / "workflow", tmp_path / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (before,) = names_of()
    types = tmp_path / "workflow/selectimprove/config/training.py"
    line = "    num_iterations: Positive = knob(1)\n"
    assert line in types.read_text()
    types.write_text(types.read_text().replace(line, f"    delta: Rate | None = knob(None)\n{line}"))
    after, with_variant = names_of("new")
    assert after == before
    assert_adds_models_of_its_own(before, with_variant)


def assert_adds_models_of_its_own(before: list[str], after: list[str]) -> None:
    """Compare the artifacts, as stage/name, without and with a variant of `rl_settings` that trains other RL models."""
    new, gone = set(after) - set(before), set(before) - set(after)
    stages = [name.partition("/")[0] for name in new]
    assert {stage: stages.count(stage) for stage in stages} == {
        "rl": 3, "evaluation": 3, "labels": 3, "measures": 1, "exhibits": 2, "verdicts": 2
    }  # fmt: skip
    assert {name.rpartition("-")[0] for name in gone} == {
        "measures/rl_settings", "exhibits/rl_settings", "exhibits/claims_by_seed", "verdicts/claims", "verdicts/claims-s110"
    }  # fmt: skip


def test_a_setting_of_rl_is_in_keys_of_rl_alone():
    before, after = names(laptop_plan()), names(Plan(load_params(ROOT / "params.yaml", {"rl": {"loss_type": "grpo"}})))
    assert all(before[stage] == after[stage] for stage in ("problems", "demonstrations", "base", "sft", "rft"))
    assert not before["rl"] & after["rl"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss_type": "ppo"}, "rl.loss_type: input should be 'grpo', 'dr_grpo', 'dapo', 'bnpo', 'cispo', 'sapo', 'luspo' or 'vespo', not 'ppo'"),
        ({"scale_rewards": True}, "rl.scale_rewards: input should be 'group', 'batch' or 'none', not True"),
        ({"epsilon": 0}, "rl.epsilon: input should be greater than 0, not 0"),
        ({"num_iterations": 0}, "rl.num_iterations: input should be greater than 0, not 0"),
        ({"top_p": 1.5}, "rl.top_p: input should be less than or equal to 1, not 1.5"),
        ({"kl_estimator": "k1"}, "rl.kl_estimator: input should be 'k3' or 'k3_corrected', not 'k1'"),
        ({"num_iterations": 3}, "rl.num_iterations: 3 does not divide checkpoint_every 10"),
        ({"loss_type": "luspo"}, "rl.importance_sampling_level: luspo takes 'sequence', not 'token'"),
        ({"loss_type": "cispo"}, "rl.epsilon_high: cispo bounds the ratio itself, which is about 1, by 0.2"),
    ],
)  # fmt: skip
def test_what_trl_does_not_take_is_refused_in_a_line(settings, says):
    with pytest.raises(ParamsError) as found:
        load_params(ROOT / "params.yaml", {"rl": settings})
    assert str(found.value).startswith(f"--config: {says}")
    assert "\n" not in str(found.value)


def test_rollouts_that_serve_two_steps_are_counted_once():
    config = stage_config(num_iterations=2)
    assert config.rl.n_batches == PARAMS.rl.n_steps // 2
    assert config.course.n_epochs == stage_config().course.n_epochs / 2
