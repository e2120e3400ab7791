"""The scale of the paper: planned in full, and rehearsed with random weights from SFT with LoRA to Table 1."""

import json
import shutil

import pandas as pd
import pytest
import yaml

from conftest import ROOT, Checkout, made_once
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan


@pytest.fixture(scope="module")
def paper() -> Plan:
    return Plan(load_params(ROOT / "params.yaml", {"scale": "paper"}))


@pytest.fixture(scope="module")
def rehearsed(fresh, tmp_path_factory) -> Checkout:
    """A repository where Table 1 was made at the scale `rehearsal`, of one SFT mix and one distribution of RL problems."""
    return made_once("rehearsed", fresh, rehearse, tmp_path_factory)


def rehearse(checkout: Checkout) -> None:
    params = yaml.safe_load((checkout.folder / "params.yaml").read_text())
    params |= {
        "scale": "rehearsal",
        "figures": {},
        "tables": {"table1": params["tables"]["table1"]},
    }
    params["experiments"] = {"main": {"sft_mixes": ["FB"], "rl_problems": ["rl_6_9"]}}
    (checkout.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    overlay = yaml.safe_load((checkout.folder / "workflow/scales/paper.yaml").read_text())
    for section in ("experiments", "figures", "tables"):
        del overlay[section]
    (checkout.folder / "workflow/scales/paper.yaml").write_text(yaml.safe_dump(overlay))
    checkout.run("snakemake --cores all figures")


def artifacts(checkout, stage: str) -> list:
    return sorted((checkout.folder / "results" / stage).iterdir())


def test_the_whole_paper_is_planned_on_one_checkpoint_without_a_download(fresh, paper):
    planned = fresh.planned("--config scale=paper")
    assert planned["fetch_model"] == 1
    assert "pretrain_base" not in planned
    exhibits = {**paper.params.figures, **paper.params.tables}
    assert planned["draw_exhibit"] == len([exhibit for exhibit in exhibits.values() if exhibit.draw])


def test_every_stage_asks_and_samples_alike(paper):
    prompts = {
        artifact.config.system_prompt
        for stage in ("sft", "rl", "evaluation")
        for artifact in paper.artifacts[stage].values()
    }
    assert prompts == {paper.params.system_prompt}
    assert paper.params.system_prompt
    engines = {a.config.sampling for stage in ("rl", "evaluation") for a in paper.artifacts[stage].values()}
    assert [engine.engine for engine in engines] == ["vllm"]


def test_an_artifact_depends_on_its_own_engine_only(paper, monkeypatch):
    laptop = Plan(load_params(ROOT / "params.yaml"))
    used = {
        frozenset(module for module in a.modules if not module.startswith("tasks."))
        for plan in (paper, laptop)
        for stage in ("rl", "evaluation")
        for a in plan.artifacts[stage].values()
    }
    assert used == {
        frozenset({f"stages.{stage}", f"training.engine_{engine}", "artifacts.arithmetic", *trainer})
        for stage, trainer in (("rl", ["training.grpo"]), ("evaluation", []))
        for engine in ("vllm", "transformers")
    }
    assert {a.modules for a in paper.artifacts["sft"].values()} == {frozenset({"stages.sft", "artifacts.arithmetic"})}


def test_resources_are_in_no_key(paper):
    more = {"train": {"gpus": 4}}
    other = Plan(load_params(ROOT / "params.yaml", {"scale": "paper", "resources": more}))
    assert set(other.artifacts["rl"]) == set(paper.artifacts["rl"])


def test_the_rehearsal_ends_in_table_1(rehearsed):
    table = pd.read_csv(rehearsed.folder / "results/rehearsal/tables/table1.csv")
    assert len(table) == 2 * 3
    assert set(table["training"]) == {"sft", "rl_6_9"}
    assert table["pass_at_1"].between(0, 1).all()


def test_the_rehearsal_keeps_adapters_of_the_papers_rank(rehearsed):
    for folder in artifacts(rehearsed, "sft"):
        adapter = json.loads((folder / "model/adapter_config.json").read_text())
        assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (64, 128, 0.05)
        assert not (folder / "model/model.safetensors").exists()
    for folder in artifacts(rehearsed, "rl"):
        steps = sorted(path.name for path in (folder / "checkpoints").iterdir())
        assert steps == ["step-0001", "step-0002"]
        assert (folder / "checkpoints/step-0002/adapter_model.safetensors").exists()


def test_rollouts_and_generations_are_completions_and_not_chats(rehearsed):
    for path in rehearsed.folder.glob("results/*/*/*.parquet"):
        if path.name in ("rollouts.parquet", "generations.parquet"):
            assert not pd.read_parquet(path)["completion"].str.contains("<|im_", regex=False).any()


def test_the_rehearsal_is_audited_and_verified(rehearsed, tmp_path, monkeypatch):
    checkout = rehearsed.copy(tmp_path / "repository")
    checkout.run("snakemake --cores all audit")
    # One mix after one RL is too little for any claim.
    assert set(pd.read_csv(checkout.folder / "results/rehearsal/audit/claims.csv")["verdict"]) == {"not run"}
    assert pd.read_csv(checkout.folder / "results/rehearsal/audit/tests.csv").empty
    assert checkout.mismatches(monkeypatch) == []
    # DVC leaves pretrained checkpoints on their hub: after a pull nothing has to be made, and verify says what it did not see.
    shutil.rmtree(checkout.folder / "results/pretrained")
    assert checkout.planned() == {}
    lines = checkout.mismatches(monkeypatch)
    assert any(
        "results/pretrained/" in line and "missing: expected for the current params and code" in line for line in lines
    ), lines


def test_two_processes_share_each_batch(rehearsed, tmp_path):
    """Data parallel, on a CPU: as `accelerate launch` starts it on several GPUs."""
    (folder,) = artifacts(rehearsed, "rl")
    inputs = json.loads((folder / "provenance.json").read_text())["inputs"]
    stages = {"sft": "sft", "base": "pretrained", "problems": "problems"}
    given = " ".join(f"--input {role}=results/{stages[role]}/{name}" for role, name in inputs.items())
    launch = "accelerate launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no --main_process_port 0 -m"
    source = f"PYTHONPATH={rehearsed.folder / 'workflow'}"
    stage = f"selectimprove.stages.rl --config {folder}/config.json {given} --output {tmp_path}/two"
    rehearsed.run(f"{source} {launch} {stage}")
    one, two = (pd.read_parquet(path / "rollouts.parquet") for path in (folder, tmp_path / "two"))
    seen = [rows.groupby("step")["problem_id"].apply(sorted).tolist() for rows in (one, two)]
    assert seen[0] == seen[1]
    assert sorted(path.name for path in (tmp_path / "two/checkpoints").iterdir()) == ["step-0001", "step-0002"]
    assert not (tmp_path / "two/trainer").exists()


def test_gpus_are_counted_before_jobs_share_them(fresh):
    done = fresh.run("snakemake --cores 2 figures --config scale=paper", check=False)
    assert done.returncode
    assert "say how many this machine has with --resources gpu=" in done.stdout + done.stderr
