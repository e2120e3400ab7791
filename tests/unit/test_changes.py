"""Why an artifact has to be made, in words that its user would choose."""

import json
from pathlib import Path

import pytest

from conftest import ROOT, laptop_plan
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.forecast import _in_params, explain
from selectimprove.dag.plan import Plan

SFT_RATE = f"sft.learning_rate 1.0 → {load_params(ROOT / 'params.yaml').sft.learning_rate}"


@pytest.fixture
def plan() -> Plan:
    return laptop_plan()


def record(artifact: Artifact, **changes) -> None:
    """Leave the record of an artifact of the same slug, made from other inputs or with another config."""
    folder = Path("results") / artifact.stage / f"{artifact.slug}-0123456789"
    folder.mkdir(parents=True)
    provenance = {
        "source": artifact.source,
        "inputs": {
            role: "older" if role in changes.get("inputs", ()) else s.name for role, s in artifact.inputs.items()
        },
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    config = artifact.config.model_dump(mode="json") | changes.get("config", {})
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        ("evaluation", {"inputs": ("2-5", "6-9")}, "new test problems (2-5 and 6-9)"),
        ("rl", {"inputs": ("sft",)}, "new sft"),
        ("rl", {"inputs": ("problems",)}, "new rl problems"),
        ("sft", {"inputs": ("train", "base")}, "new base; new demonstrations (train)"),
        ("evaluation", {"config": {"temperature": 1.0}}, "evaluation.temperature 1.0 → 0.7"),
        ("sft", {"config": {"learning_rate": 1.0}}, SFT_RATE),
    ],
)
def test_a_reason_names_what_is_new(plan, tmp_path, monkeypatch, stage, changes, said):
    monkeypatch.chdir(tmp_path)
    artifact = next(a for a in plan.artifacts[stage].values() if "gf11" in a.slug and "composition" not in a.slug)
    record(artifact, **changes)
    assert explain(artifact).partition(", against ")[0] == said


def test_many_inputs_of_a_kind_are_counted(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measures = plan.measures["main"]
    labels = [role for role in measures.inputs if role.startswith("labels/")]
    record(measures, inputs=labels)
    assert explain(measures).startswith(f"{len(labels)} new labels, against")


def test_of_two_lists_a_reason_names_what_only_one_has(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measures = plan.measures["main"]
    runs = measures.config.model_dump(mode="json")["runs"]
    fewer = [run for run in runs if run["sft"] != "FB"] + [runs[0] | {"sft": "F75"}] * 3
    record(measures, config={"runs": fewer})
    assert explain(measures).startswith("runs.sft + FB − F75; ")


def test_what_was_never_made_is_not_explained_by_another_artifact(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, other, *_ = plan.all_figures.values()
    record(other)
    assert explain(one) == "never made"
    # Variants of an experiment have one slug; what is planned beside an artifact is no former state of it.
    one, other, *_ = (a for a in plan.artifacts["rl"].values() if a.slug == "FB-gf11-rl_6_9-s110")
    for name in ("0123456789", None):
        folder = Path("results/rl") / (other.name if name is None else f"{other.slug}-{name}")
        folder.mkdir(parents=True)
        (folder / "provenance.json").write_text(json.dumps({"source": other.source, "inputs": {}}))
        (folder / "config.json").write_text(json.dumps(other.config.model_dump(mode="json")))
    assert explain(one, plan.artifacts["rl"]).endswith("against FB-gf11-rl_6_9-s110-0123456789")
    assert explain(one, {other.name, "FB-gf11-rl_6_9-s110-0123456789"}) == "never made"


def test_a_reason_speaks_of_models_in_words(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measures = plan.measures["main"]
    seed = plan.params.seeds[0]
    record(measures, inputs=[f"policy/default/B/sft/{seed}"])
    assert explain(measures).startswith(f"new sft (B sft {seed}), against")


def test_a_value_has_its_name_in_params(plan):
    problems = next(a for a in plan.artifacts["problems"].values() if a.config.task_name == "chains")
    base = next(iter(plan.artifacts["base"].values()))
    assert _in_params(problems, "task.field_order") == "tasks.chains.field_order"
    assert _in_params(base, "base.n_steps") == "base.n_steps"


def test_a_variant_that_the_params_make_equal_to_another_is_left_out():
    made = Plan(load_params(ROOT / "params.yaml", {"rl": {"beta": 0.1}, "sft": {"learning_rate": 1.5e-4}}))
    variants = {
        name: set(made.measures[name].config.variants) for name in ("rl_settings", "sft_learning_rate", "rl_rate")
    }
    assert variants == {
        "rl_settings": {"default"}, "sft_learning_rate": {"default", "x2.5"}, "rl_rate": {"default", "rate_x5"}
    }  # fmt: skip
    assert made.equal_variants([made.measures["rl_settings"]]) == [
        "experiments.rl_settings.variants.beta_0.1: left out, since these params make it equal to default"
    ]
    # Models that are one and the same show nothing about beta.
    assert "rl_settings_do_not_matter" not in made.verdicts.config.run
