"""`selectimprove export`: what it refuses, adapters, and the way to the hub, on artifacts made up for the purpose."""

import argparse
import json
from pathlib import Path

import httpx
import huggingface_hub
import numpy as np
import pandas as pd
import pytest
from huggingface_hub import DatasetCard, ModelCard
from jinja2 import Environment
from jinja2.meta import find_undeclared_variables
from safetensors.numpy import save_file

from conftest import ROOT, SEEDS, laptop_plan
from selectimprove.artifacts.provenance import folder_hashes
from selectimprove.commands.export import add_arguments, find_exported, run
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.exporting import (
    count_parameters,
    push_folder,
    require_pushable,
    write_dataset,
    write_folder,
    write_model,
)


@pytest.fixture
def plan() -> Plan:
    return laptop_plan()


def find(plan: Plan, words: str):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return find_exported(plan, parser.parse_args(words.split()))


def make_up(artifact: Artifact, inner: str, **files: str) -> Path:
    """Leave an artifact with a record and, in a folder of it, weights of 2 × 3 + 4 numbers and the files that are given."""
    folder = artifact.folder / inner
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"a": np.zeros((2, 3), "float32"), "b": np.zeros(4, "float32")}, folder / "model.safetensors")
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    machine = {"processor": "a processor", "system": "a system"}
    record = {"files": folder_hashes(artifact.folder), "commit": "c0ffee", "seed": 1, "seconds": 60.0}
    record |= {"machine": machine, "versions": {"torch": "1", "transformers": "2"}}
    artifact.done.write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tabel1 FB rl_6_9", "name: 'tabel1' is unknown; did you mean 'table1'?"),
        ("table1 FBB rl_6_9", "sft: 'FBB' is unknown; did you mean 'FB'?"),
        ("table1 FB", "table1 FB: neither three words such as `table1 FB rl_6_9` nor an artifact"),
        ("seeds FB rl_6_9", "--seed: name one of 110, 111, 112, 113, 114, 115, 116, 117"),
        ("FB-trian-gf11-s110", "FB-trian-gf11-s110: not in the current plan; did you mean 'FB-train-gf11-s110'?"),
        ("xyz", "xyz: not in the current plan"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line(plan, words, expected):
    with pytest.raises(ParamsError) as refused:
        find(plan, words)
    assert str(refused.value) == expected


def test_a_name_that_several_models_share_is_refused_with_all_of_them(plan):
    slug = f"FB-gf11-rl_6_9-s{SEEDS[0]}"
    shared = [a for stage in ("rl", "rft") for a in plan.artifacts[stage].values() if a.slug == slug]
    with pytest.raises(ParamsError) as refused:
        find(plan, slug)
    listed = ", ".join(f"{a.stage}/{a.name}" for a in shared)
    assert str(refused.value) == f"{slug}: names {len(shared)} artifacts; use one of {listed}"


def test_what_was_not_made_is_named_with_the_command_that_makes_it(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in ("table1 FB rl_6_9", f"FB-train-gf11-s{SEEDS[0]}"):
        with pytest.raises(ParamsError, match=r"neither made nor pulled; `snakemake --cores all results/.*` makes it"):
            find(plan, words)


def test_an_artifact_of_other_params_is_told_from_a_wrong_name(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results/rl/FB-older-0123456789").mkdir(parents=True)
    with pytest.raises(ParamsError, match="made with other params or code than today's"):
        find(plan, "results/rl/FB-older-0123456789")


def test_every_name_of_a_checkpoint_finds_it(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measures = plan.measures["main"]
    run = next(run for run in measures.config.runs if (run.sft, run.training) == ("FB", "rl_6_9"))
    policy, evaluation = (measures.inputs[f"{role}/{run.name}"] for role in ("policy", "evaluation"))
    early = make_up(policy, "checkpoints/step-0009")
    last = make_up(policy, "checkpoints/step-0160")
    for words in ("table1 FB rl_6_9", f"rl/{policy.name}", policy.name, f"results/evaluation/{evaluation.name}", last):
        found = find(plan, str(words))
        assert (found.folder, found.step, found.run, found.measures) == (last, 160, run, measures)
    for words in ("table1 FB rl_6_9 --step 9", f"{policy.name} --step 9", early):
        assert find(plan, str(words)).folder == early
    with pytest.raises(ParamsError, match="--step: '7' is unknown; use one of 9, 160"):
        find(plan, "table1 FB rl_6_9 --step 7")
    assert count_parameters(last) == 10


def test_the_card_has_no_time_of_what_was_resumed(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = next(iter(plan.artifacts["base"].values()))
    found = find(plan, str(make_up(base, "model")))
    for name, resumed, minutes in (("whole", False, "1.0"), ("resumed", True, "")):
        base.done.write_text(json.dumps(json.loads(base.done.read_text()) | {"resumed": resumed}))
        write_folder(Path(name), lambda folder: write_model(plan.params, found, name, folder))  # noqa: B023
        row = next(line for line in Path(name, "README.md").read_text().splitlines() if line.startswith("| `base/"))
        assert row.split("|")[-2].strip() == minutes


def test_weights_that_are_not_those_of_the_record_are_refused(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make_up(plan.artifacts["base"][next(iter(plan.artifacts["base"]))], "model")
    found = find(plan, str(model))
    write_folder(Path("whole"), lambda folder: write_model(plan.params, found, "whole", folder))
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ParamsError, match="differs from its record"):
        write_folder(Path("damaged"), lambda folder: write_model(plan.params, found, "damaged", folder))
    assert {path.name for path in Path().iterdir()} == {"results", "whole"}


@pytest.mark.parametrize(("scale", "base"), [("paper", "Qwen/Qwen2.5-1.5B-Instruct"), ("rehearsal", "results/base")])
def test_an_adapter_stays_one_and_names_its_base(scale, base, tmp_path, monkeypatch):
    plan = Plan(load_params(ROOT / "params.yaml", {"scale": scale}))
    monkeypatch.chdir(tmp_path)
    sft = plan.measures["main"].inputs[f"policy/{plan.measures['main'].config.runs[0].name}"]
    adapter = {"base_model_name_or_path": "results/base", "r": 8}
    make_up(sft, "model", adapter_config__json=json.dumps(adapter), README__md="of PEFT")
    found = find(plan, sft.name)
    write_folder(Path("adapter"), lambda folder: write_model(plan.params, found, "me/adapter", folder))
    written = json.loads(Path("adapter/adapter_config.json").read_text())
    card = ModelCard.load("adapter/README.md")
    assert (written["base_model_name_or_path"], written["r"]) == (base, 8)
    assert card.data.library_name == "peft"
    assert "needs `peft`" in card.text
    assert '{"role": "system", "content": "You solve chains' in card.text
    if scale == "paper":
        pretrained = plan.params.pretrained
        assert written["revision"] == pretrained.revision
        assert card.data.base_model == pretrained.repository
        assert f"at revision `{pretrained.revision}`" in card.text
    else:
        assert card.data.base_model is None
        assert "numbers mean nothing" in card.text


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_filled(tmp_path):
    target = tmp_path / "there"
    target.mkdir()
    write_folder(target, lambda folder: (folder / "file").write_text("1"))
    with pytest.raises(ParamsError, match="exists and is not empty"):
        write_folder(target, lambda folder: (folder / "file").write_text("2"))
    assert (target / "file").read_text() == "1"
    with pytest.raises(ParamsError, match="exists and is not empty"):
        write_folder(target / "file", lambda folder: None)


def test_nothing_is_left_of_a_folder_whose_writing_fails(tmp_path):
    def write(folder):
        (folder / "file").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "half", write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("private", [True, False])
def test_a_push_makes_the_repository_and_uploads_the_folder(private, monkeypatch):
    calls = []

    class Hub:
        def create_repo(self, name, **options):
            calls.append(("create", name, options["repo_type"], options["private"]))
            return f"https://hub/{name}"

        def upload_folder(self, **options):
            calls.append(("upload", options["repo_id"], options["repo_type"], options["folder_path"]))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert push_folder(Path("folder"), "me/FB", "model", private) == "https://hub/me/FB"
    assert calls == [("create", "me/FB", "model", private), ("upload", "me/FB", "model", Path("folder"))]


@pytest.mark.parametrize("error", [httpx.ConnectError("no route\nmore"), OSError("no route."), ValueError("no route")])
def test_a_hub_out_of_reach_is_one_line_that_says_how_to_go_on(error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", fail)
    with pytest.raises(ParamsError) as refused:
        push_folder(Path("folder"), "me/FB", "dataset", private=True)
    expected = (
        "--push me/FB: no route; folder is written, `hf upload me/FB folder --repo-type dataset --private` tries again"
    )
    assert str(refused.value) == expected


def test_a_push_without_a_token_or_with_a_wrong_name_is_refused(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(ParamsError, match="--push: no token of the Hugging Face hub; `hf auth login` stores one"):
        require_pushable("me/FB")
    with pytest.raises(ParamsError, match="--push a/b/c: Repo id must be in the form"):
        require_pushable("a/b/c")


def test_the_templates_use_only_what_they_are_given(plan, tmp_path, monkeypatch):
    # An undefined variable would leave an empty place in the card.
    given = {}
    for card in (ModelCard, DatasetCard):
        template = card.from_template
        monkeypatch.setattr(
            card,
            "from_template",
            lambda data, path, template=template, **values: (
                given.update({path: {*values}}) or template(data, path, **values)
            ),
        )
    monkeypatch.chdir(tmp_path)
    found = find(plan, str(make_up(next(iter(plan.artifacts["base"].values())), "model")))
    write_folder(Path("model"), lambda folder: write_model(plan.params, found, "model", folder))
    problems = next(iter(plan.artifacts["problems"].values()))
    problems.folder.mkdir(parents=True)
    pd.DataFrame({"problem_type": ["inversion"], "n_steps": [6]}).to_parquet(problems.folder / "problems.parquet")
    make_up(problems, "")
    write_folder(Path("data"), lambda folder: write_dataset(problems, "data", folder))
    assert len(given) == 2
    for path, values in given.items():
        used = find_undeclared_variables(Environment(autoescape=True).parse(Path(path).read_text()))
        assert used == values | {"card_data"}


def test_an_exported_folder_is_not_taken_for_the_artifact(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = next(iter(plan.artifacts["base"].values()))
    model = make_up(base, "model")
    monkeypatch.setattr("selectimprove.commands.arguments.open_plan", lambda scale: plan)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args([str(model)]))
    written = Path("exported", base.name)
    assert (written / "model.safetensors").is_file()
    # Records of published files find artifacts below results by their names.
    assert sorted(path.parent for path in Path().rglob(base.name)) == [Path("exported"), Path("results/base")]
