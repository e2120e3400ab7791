"""A reward of a user's own: how it is found, what it is given, and which keys its code is in."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from test_changes import record
from test_rl_settings import assert_adds_models_of_its_own

from conftest import ROOT, laptop_plan
from selectimprove.artifacts import keys
from selectimprove.config import sources as own_code
from selectimprove.config.loading import load_params
from selectimprove.dag.forecast import explain
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.stages.rl import own_reward

DOCUMENT = (ROOT / "workflow/docs/extending.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(def right_and_short.*?)```", DOCUMENT, re.S)
(VARIANT,) = re.findall(r"^      (short: .*)$", DOCUMENT, re.M)


def forget() -> None:
    """Read sources anew, as the next process would."""
    own_code.source_files.cache_clear()
    keys.source_digests.cache_clear()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with the example of the documents, in a module that imports another of its folder, and in a variant."""
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards/short.py").write_text(f"from rewards import words\n\n{EXAMPLE}")
    (tmp_path / "rewards/words.py").write_text("FEWEST = 1\n")
    (tmp_path / "rewards/other.py").write_text("")
    text = (ROOT / "params.yaml").read_text()
    assert text.count("      beta_0.1: {") == 1
    (tmp_path / "params.yaml").write_text(text.replace("      beta_0.1: {", f"      {VARIANT}\n      beta_0.1: {{"))
    monkeypatch.setattr(own_code, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget()
    yield tmp_path
    forget()
    for module in [name for name in sys.modules if name.partition(".")[0] == "rewards"]:
        del sys.modules[module]


@pytest.fixture
def small(repository) -> Path:
    """The same repository with one experiment, that of the variant, which is planned in a moment."""
    params = yaml.safe_load((repository / "params.yaml").read_text())
    params["experiments"] = {"rl_settings": params["experiments"]["rl_settings"]}
    for shown in ("figures", "tables"):
        params[shown] = {n: one for n, one in params[shown].items() if one["experiment"] == "rl_settings"}
    (repository / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return repository


def artifacts_of(plan: Plan) -> list[str]:
    return [f"{stage}/{artifact.name}" for stage, by_key in plan.artifacts.items() for artifact in by_key.values()]


def test_only_models_that_it_trains_and_what_follows_are_new(repository):
    after = Plan(load_params(repository / "params.yaml"))
    assert_adds_models_of_its_own(artifacts_of(laptop_plan()), artifacts_of(after))
    assert not [module for module in sys.modules if module.startswith("rewards")]


@pytest.mark.parametrize(
    ("file", "added", "counts"),
    [
        ("rewards/short.py", "\nWEIGHT = 1\n", True),
        ("rewards/short.py", "\n# A remark.\n", False),
        ("rewards/words.py", "MOST = 2\n", True),
        ("rewards/__init__.py", "import math\n", True),
        ("rewards/other.py", "MOST = 2\n", False),
        ("elsewhere.py", "MOST = 2\n", False),
    ],
)
def test_its_code_counts_with_what_it_imports_of_its_folder(small, file, added, counts):
    before = artifacts_of(Plan(load_params(small / "params.yaml")))
    with (small / file).open("a") as source:
        source.write(added)
    forget()
    new = set(artifacts_of(Plan(load_params(small / "params.yaml")))) - set(before)
    assert len([name for name in new if name.startswith("rl/")]) == (3 if counts else 0)
    assert not [name for name in new if name.startswith(("problems/", "demonstrations/", "base/", "sft/", "rft/"))]


def test_imports_are_found_however_they_are_written(repository):
    (repository / "rewards/deep").mkdir()
    (repository / "rewards/deep/__init__.py").write_text("")
    (repository / "rewards/deep/inner.py").write_text("from ..words import FEWEST\n")
    (repository / "rewards/late.py").write_text(
        "def f(c, a, p):\n    import rewards.deep.inner\n    import json, pandas\n"
    )
    assert set(own_code.source_files("rewards.late")) == {
        "rewards.late", "rewards.deep", "rewards.deep.inner", "rewards.words"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        ("outcom", "rl.reward: 'outcom' is no reward; use outcome, random or a function of your own, as package.module:function"),
        ("rewards.short", "rl.reward: 'rewards.short' is no reward; use outcome, random or a function"),
        ("rewards.shrot:f", "rl.reward: there is no module rewards.shrot: neither rewards/shrot.py in the repository, nor is it installed"),
        ("rewards.short:f", "rl.reward: rewards/short.py has no function 'f'; it has right_and_short"),
        ("rewards.trl:f", "rl.reward: rewards/trl.py: line 1: f takes (completions, **kwargs), but is given (completion, answer, problem)"),
        ("rewards.broken:f", "rl.reward: rewards/broken.py: line 1: not Python: "),
    ],
)  # fmt: skip
def test_a_reward_that_is_not_there_is_one_line(repository, reward, says):
    (repository / "rewards/broken.py").write_text("def f(:\n")
    (repository / "rewards/trl.py").write_text("def f(completions, **kwargs):\n    return [0.0 for _ in completions]\n")
    path = repository / "params.yaml"
    path.write_text(path.read_text().replace("rewards.short:right_and_short", reward))
    with pytest.raises(ParamsError) as found:
        load_params(path)
    assert re.fullmatch(
        r"params\.yaml: line \d+: experiments\.rl_settings\.variants\.short[.:] ?" + re.escape(says) + ".*",
        str(found.value),
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_a_reward_is_read_in_its_encoding(small, encoding):
    before = artifacts_of(Plan(load_params(small / "params.yaml")))
    path = small / "rewards/short.py"
    declared = "# -*- coding: latin-1 -*-\n" if encoding == "latin-1" else ""
    path.write_text(f"{declared}# Höchstens.\n{path.read_text()}", encoding=encoding)
    forget()
    assert artifacts_of(Plan(load_params(small / "params.yaml"))) == before
    assert own_code.load_function("rewards.short:right_and_short")


def test_controls_take_no_reward_of_ones_own(repository):
    with pytest.raises(
        ParamsError, match=r"rl\.reward: rewards\.short:right_and_short is for `method: grpo`; self_distillation takes"
    ):
        load_params(
            repository / "params.yaml",
            {"rl": {"reward": "rewards.short:right_and_short", "method": "self_distillation"}},
        )


def test_the_example_does_what_it_says(repository):
    problems = pd.DataFrame({"problem_id": [7, 8], "answer": [3, 4], "n_steps": [2, 2], "operations": [["+"], ["*"]]})
    reward = own_reward(own_code.load_function("rewards.short:right_and_short"), problems)
    assert reward("answer e3", 7) == pytest.approx(1 - 0.01)
    assert reward("s1 +e1 e3 answer e4", 8) == pytest.approx(1 - 0.025)
    assert reward("answer e3", 8) == pytest.approx(-0.01)


@pytest.mark.parametrize("given", [None, float("nan"), "much"])
def test_a_reward_that_is_no_number_is_refused(given):
    def careless(completion, answer, problem):
        return given

    problems = pd.DataFrame({"problem_id": [7], "answer": [3]})
    with pytest.raises(ParamsError, match=r"rl\.reward: careless gave .* for problem 7, not a finite number"):
        own_reward(careless, problems)("answer e3", 7)


def test_another_module_of_the_name_is_refused(repository):
    (repository / "json").mkdir()
    (repository / "json/decoder.py").write_text("def f(completion, answer, problem):\n    return 0.0\n")
    with pytest.raises(ParamsError, match=r"json/decoder\.py: to Python, json\.decoder is .*; choose another name"):
        own_code.load_function("json.decoder:f")


def test_the_plan_says_why_models_are_made_anew(repository):
    plan = Plan(load_params(repository / "params.yaml"))
    artifact = next(a for a in plan.artifacts["rl"].values() if a.config.rl.own_reward)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository)
        record(artifact, config={"rl": artifact.config.model_dump(mode="json")["rl"] | {"reward": "outcome"}})
        assert explain(artifact).startswith("rl.reward outcome → rewards.short:right_and_short, against ")
