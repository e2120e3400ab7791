"""Training stages on next to nothing: resuming, adapters, and the one way in which models are asked."""

import re
import shutil
import sys
import zlib
from decimal import Decimal
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from selectimprove.artifacts.provenance import folder_hashes
from selectimprove.artifacts.runner import name_run
from selectimprove.config import sources as own_code
from selectimprove.config.loading import load_params
from selectimprove.config.params import Case
from selectimprove.config.stages import BaseStage, PretrainedStage, RftStage, RlStage, SftStage
from selectimprove.config.training import REPORT_TO, RUN_NAME, Lora
from selectimprove.errors import ParamsError
from selectimprove.stages import rl as rl_stage
from selectimprove.stages.base import pretrain_base
from selectimprove.stages.pretrained import fetch_model
from selectimprove.stages.rft import train_rft
from selectimprove.stages.sft import train_sft
from selectimprove.tasks.chains.settings import Problems
from selectimprove.tasks.interface import load_task
from selectimprove.training import grpo
from selectimprove.training.policies import is_adapter, load_model, load_tokenizer, render_prompts
from selectimprove.training.sampling import max_new_tokens
from selectimprove.training.trainer import batch_arguments, latest_checkpoint

CHAINS = load_task("chains")
SMOKE = load_params(ROOT / "params.yaml", {"scale": "smoke"})
REHEARSAL = load_params(ROOT / "params.yaml", {"scale": "rehearsal"})


def write_problems(params, folder: Path, n_problems: int, split: str) -> Path:
    folder.mkdir()
    task = Case(params, "chains").settings
    problems = CHAINS.draw_problems(task, Problems(steps=(2, 3)), n_problems, split, 0)
    table = pd.DataFrame([{"problem_id": number, **CHAINS.to_row(p)} for number, p in enumerate(problems)])
    table.to_parquet(folder / "problems.parquet", index=False)
    responses = [" " + CHAINS.respond(task, p, CHAINS.suited[p.problem_type]) for p in problems]
    table.assign(completion=responses).to_parquet(folder / "demonstrations.parquet", index=False)
    return folder


def sft_config(params) -> SftStage:
    return SftStage(
        seed=5,
        optimizer=params.optimizer,
        lora=params.lora,
        system_prompt=params.system_prompt,
        **params.sft.model_dump(include=set(SftStage.model_fields)) | {"n_epochs": 1},
    )


@pytest.fixture(scope="module", params=["smoke", "rehearsal"])
def models(request, tmp_path_factory):
    """Params, and the inputs of RL: a model after SFT, whole at the smoke scale and an adapter in the rehearsal."""
    folder = tmp_path_factory.mktemp(request.param)
    base = folder / "base"
    base.mkdir()
    if request.param == "smoke":
        params = SMOKE
        few = params.base.model_copy(update={"n_steps": 5})
        case = Case(params, "chains")
        config = BaseStage(
            task_name="chains",
            task=case.settings,
            seed=5,
            model=params.model,
            base=few,
            documents=case.section.documents,
            optimizer=params.optimizer,
        )
        pretrain_base(config, {}, base)
    else:
        params = REHEARSAL
        config = PretrainedStage(
            pretrained=params.pretrained,
            model=params.model,
            chat=True,
            target_modules=params.lora.target_modules,
        )
        fetch_model(config, {}, base)
    inputs = {"base": base}
    inputs |= {role: write_problems(params, folder / role, 32, f"sft_{role}") for role in ("train", "validation")}
    sft = folder / "sft"
    sft.mkdir()
    train_sft(sft_config(params), inputs, sft)
    # Eight problems, four a step: an epoch is two steps.
    return params, {"sft": sft, "base": base, "problems": write_problems(params, folder / "rl", 8, "rl")}


def rl_config(params) -> RlStage:
    rl = {"n_steps": 8, "prompts_per_step": 4, "group_size": 2, "checkpoint_every": 3, "device_batch_size": None}
    return RlStage(
        task_name="chains",
        task=Case(params, "chains").settings,
        seed=5,
        rl=params.rl.model_copy(update=rl),
        optimizer=params.optimizer,
        system_prompt=params.system_prompt,
        sampling=params.sampling,
    )


def cut_short(checkpoint: Path) -> None:
    """Make a checkpoint what a kill leaves of it that came while its last files were written."""
    for mark in checkpoint.glob("finished-*"):
        mark.unlink()
    for name in ("rollouts-0.parquet", "trainer_state.json"):
        (checkpoint / name).write_bytes((checkpoint / name).read_bytes()[:100])


def test_a_killed_run_of_rl_ends_as_one_that_was_not(models, tmp_path, monkeypatch):
    params, inputs = models
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    calls, most = [], 8 * 8

    def reward(completion, answer):
        # An untrained model is never right, but must learn something.
        calls.append(completion)
        if len(calls) > most:
            raise KeyboardInterrupt
        return float(zlib.crc32(completion.encode()) % 2)

    monkeypatch.setattr(CHAINS, "reward", reward)
    rl_stage.train_grpo(rl_config(params), inputs, whole)
    # In step 6, whose epoch is not that of the last checkpoint, of step 3.
    calls, most = [], 5 * 8
    with pytest.raises(KeyboardInterrupt):
        rl_stage.train_grpo(rl_config(params), inputs, killed)
    most = 13 * 8
    assert [path.name for path in killed.glob("trainer/checkpoint-*")] == ["checkpoint-3"]
    shutil.copytree(killed / "trainer/checkpoint-3", killed / "trainer/checkpoint-6")
    cut_short(killed / "trainer/checkpoint-6")
    rl_stage.train_grpo(rl_config(params), inputs, killed)

    seen = pd.read_parquet(killed / "rollouts.parquet")
    assert len(seen) == 8 * 8
    assert seen["problem_id"].tolist() == pd.read_parquet(whole / "rollouts.parquet")["problem_id"].tolist()
    assert folder_hashes(killed) == folder_hashes(whole)


@pytest.mark.parametrize("models", ["smoke"], indirect=True)
def test_advantages_are_those_of_exact_roots_rounded_once(models, tmp_path, monkeypatch):
    params, inputs = models
    size, seen = 8, []
    config = rl_config(params)
    config = config.model_copy(update={"rl": config.rl.model_copy(update={"group_size": size, "n_steps": 2})})
    # Groups of which one completion is right, two, three, … and all.
    rewards = list(chain.from_iterable([1] * right + [0] * (size - right) for right in range(1, size + 1)))
    coming = iter(rewards)

    class Watched(grpo.ReproducibleGRPOTrainer):
        def _compute_loss(self, model, batch):
            seen.append(batch["advantages"].numpy())
            return super()._compute_loss(model, batch)

    monkeypatch.setattr(CHAINS, "reward", lambda completion, answer: float(next(coming)))
    monkeypatch.setattr(grpo, "ReproducibleGRPOTrainer", Watched)
    rl_stage.train_grpo(config, inputs, tmp_path)

    def advantage(reward: int, right: int) -> np.float32:
        mean = Decimal(right) / size
        # TRL has Bessel's correction in 32 bits.
        deviation = (mean * (1 - mean) * Decimal(float(np.float32(size / (size - 1))))).sqrt()
        return np.float32((reward - mean) / (deviation + Decimal("1e-4")))

    expected = [advantage(reward, at // size + 1) for at, reward in enumerate(rewards)]
    # TRL shuffles a batch, after its advantages are computed.
    found = [sorted(step) for step in seen]
    assert found == [sorted(expected[:32]), sorted(expected[32:])]


@pytest.mark.parametrize("models", ["smoke"], indirect=True)
def test_two_steps_on_each_batch_of_an_own_reward_end_alike_after_a_kill(models, tmp_path, monkeypatch):
    params, inputs = models
    (tmp_path / "rewards_of_tests.py").write_text(
        "import zlib\n\ncalls, most = [], 0\n\n\ndef checksum(completion, answer, problem):\n    calls.append(problem['n_steps'])\n"
        "    if len(calls) > most:\n        raise KeyboardInterrupt\n    return zlib.crc32(completion.encode()) % 100 / 100\n"
    )
    monkeypatch.setattr(own_code, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    module = own_code.load_module("rewards_of_tests")
    config = rl_config(params)
    rl = {"reward": "rewards_of_tests:checksum", "num_iterations": 2, "checkpoint_every": 2, "loss_type": "grpo"}
    config = config.model_copy(update={"rl": config.rl.model_copy(update=rl)})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    module.most = 4 * 8
    rl_stage.train_grpo(config, inputs, whole)
    rollouts = pd.read_parquet(whole / "rollouts.parquet")
    assert rollouts.groupby("step").size().to_dict() == {1: 8, 3: 8, 5: 8, 7: 8}
    assert rollouts["reward"].tolist() == [zlib.crc32(text.encode()) % 100 / 100 for text in rollouts["completion"]]
    assert pd.read_parquet(whole / "training.parquet")["step"].tolist() == list(range(1, 9))
    # In the third batch, at the first step of the second epoch.
    module.calls, module.most = [], 2 * 8
    with pytest.raises(KeyboardInterrupt):
        rl_stage.train_grpo(config, inputs, killed)
    module.most = 5 * 8
    rl_stage.train_grpo(config, inputs, killed)
    assert folder_hashes(killed) == folder_hashes(whole)


def test_a_run_goes_on_from_the_newest_checkpoint_that_every_process_finished(tmp_path, monkeypatch, caplog):
    for step, marks in ((9, ["0-of-2", "1-of-2"]), (10, ["0-of-2", "1-of-2"]), (11, ["1-of-2"]), (12, ["0-of-1"])):
        (tmp_path / f"checkpoint-{step}").mkdir()
        for mark in marks:
            (tmp_path / f"checkpoint-{step}/finished-{mark}").touch()
    caplog.set_level("INFO")
    for processes, expected in ((1, 12), (2, 10)):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        assert latest_checkpoint(tmp_path) == str(tmp_path / f"checkpoint-{expected}")
        assert caplog.messages[-1] == f"going on from step {expected}, where an earlier run was stopped"
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None


def test_every_epoch_of_rl_has_every_problem_in_another_order(models, tmp_path):
    params, inputs = models
    rl_stage.train_grpo(rl_config(params), inputs, tmp_path)
    rollouts = pd.read_parquet(tmp_path / "rollouts.parquet")
    epochs = [rows["problem_id"].tolist() for _, rows in rollouts.groupby((rollouts["step"] - 1) // 2)]
    assert all(sorted(epoch) == sorted(list(range(8)) * 2) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_lora_leaves_adapters_that_load_on_their_base(models):
    params, inputs = models
    assert is_adapter(inputs["sft"] / "model") == (params.lora is not None)
    model = load_model(inputs["sft"] / "model", inputs["base"] / "model", trainable=True)
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    everything = sum(weights.numel() for weights in model.parameters())
    assert trained < everything if params.lora else trained == everything


def test_a_model_is_asked_behind_the_system_prompt_as_its_template_says(models):
    params, inputs = models
    tokenizer = load_tokenizer(inputs["sft"] / "model")
    (asked,) = render_prompts(tokenizer, ["start e1 s1 +e1 end ? find-end"], params.system_prompt)
    if params.system_prompt is None:
        assert asked == "start e1 s1 +e1 end ? find-end"
    else:
        assert asked == (
            f"<|im_start|>system\n{params.system_prompt}<|im_end|>\n<|im_start|>user\nstart e1 s1 +e1 end ? find-end<|im_end|>\n"
            "<|im_start|>assistant\n"
        )


def test_no_demonstration_is_longer_than_a_response_may_be(models):
    params, inputs = models
    tokenizer = load_tokenizer(inputs["sft"] / "model")
    demonstrations = pd.read_parquet(inputs["sft"].parent / "train" / "demonstrations.parquet")
    longest = max(len(tokenizer(text)["input_ids"]) + 1 for text in demonstrations["completion"])
    assert longest <= max_new_tokens(tokenizer, CHAINS.longest_response(Case(params, "chains").settings, 3))


@pytest.mark.parametrize(
    ("processes", "device", "expected"), [(1, None, (32, 1)), (1, 8, (8, 4)), (4, None, (8, 1)), (2, 4, (4, 4))]
)
def test_a_batch_is_spread_over_processes_and_passes(monkeypatch, processes, device, expected):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    assert tuple(batch_arguments(32, device).values()) == expected
    assert processes * expected[0] * expected[1] == 32


@pytest.mark.parametrize(("processes", "device"), [(3, None), (1, 5), (4, 3)])
def test_a_batch_that_cannot_be_spread_is_refused(monkeypatch, processes, device):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    with pytest.raises(ParamsError, match="a batch of 32 sequences cannot be split evenly"):
        batch_arguments(32, device)


def test_an_adapter_of_sft_has_the_rank_asked_for(models):
    params, inputs = models
    if params.lora:
        model = load_model(inputs["sft"] / "model", inputs["base"] / "model")
        config = model.peft_config["default"]
        assert Lora(
            rank=config.r,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            target_modules=sorted(config.target_modules),
        ) == params.lora.model_copy(update={"target_modules": sorted(params.lora.target_modules)})


SUMMARY_WRITER = """
from pathlib import Path


class SummaryWriter:
    def __init__(self, log_dir):
        self.folder = Path(log_dir)
        self.folder.mkdir(parents=True)

    def add_scalar(self, name, value, step):
        with (self.folder / "scalars").open("a") as file:
            print(name, value, step, file=file)

    def add_text(self, *_):
        pass

    flush = close = add_text
"""


def test_a_training_that_reports_is_the_same_and_its_log_outlives_its_checkpoints(models, tmp_path, monkeypatch):
    params, inputs = models
    # What writes TensorBoard's files is no dependency.
    (tmp_path / "tensorboardX.py").write_text(SUMMARY_WRITER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(REPORT_TO, "tensorboard")
    for variable in (RUN_NAME, "TENSORBOARD_LOGGING_DIR"):
        # Set first, so that what is set below goes with the test.
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    name_run(tmp_path / "results/sft/FB-0123")
    made = tmp_path / "results/sft/FB-0123.partial"
    made.mkdir(parents=True)
    sft = inputs["sft"].parent
    train_sft(sft_config(params), {role: sft / role for role in ("base", "train", "validation")}, made)
    assert folder_hashes(made) == folder_hashes(inputs["sft"])
    scalars = (tmp_path / "results/tensorboard/sft/FB-0123/scalars").read_text()
    assert re.search(r"^eval/loss \d\.\d+ 2$", scalars, re.M)


@pytest.mark.parametrize("method", ["self_distillation", "rejection_sampling"])
def test_rounds_of_fine_tuning_go_on_from_one_another_whole_or_adapters(models, tmp_path, method):
    params, inputs = models
    config = RftStage(
        task_name="chains",
        task=Case(params, "chains").settings,
        seed=5,
        method=method,
        n_prompts=4,
        n_samples=2,
        temperature=0.7,
        rft=params.rft.model_copy(update={"n_rounds": 2, "batch_size": 4, "device_batch_size": None}),
        optimizer=params.optimizer,
        system_prompt=params.system_prompt,
        sampling=params.sampling,
    )
    train_rft(config, inputs, tmp_path)
    first, second = (tmp_path / f"checkpoints/step-000{number}" for number in (1, 2))
    assert is_adapter(first) == is_adapter(inputs["sft"] / "model")
    hashes = [folder_hashes(folder) for folder in (inputs["sft"] / "model", first, second)]
    weights = {tuple(value for name, value in found.items() if name.endswith(".safetensors")) for found in hashes}
    # A model that was trained on next to nothing has no right completions: its rounds leave it as it was.
    assert len(weights) == (3 if method == "self_distillation" else 1)
    rollouts = pd.read_parquet(tmp_path / "rollouts.parquet")
    assert rollouts.groupby("step").size().to_dict() == dict.fromkeys((1, 2), 4 if method == "self_distillation" else 8)
    load_model(second, inputs["base"] / "model")
