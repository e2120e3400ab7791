"""vLLM against transformers, on a tiny model that the stages of this package train.

Run by ``make test-vllm``, on vLLM's CPU build, in an environment of its own. What only a GPU has is not tested:
compiled graphs, several GPUs, weights sent to a server.
"""

import gc
import json
import math
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import mean

import pandas as pd
import pytest
import torch
import yaml
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from selectimprove.config.loading import load_params
from selectimprove.config.sections import Sampling, VllmSettings
from selectimprove.config.stages import EvaluationStage, RlStage
from selectimprove.dag.artifact import Checkpoint
from selectimprove.dag.plan import Plan
from selectimprove.reports.exporting import write_model
from selectimprove.stages.evaluation import evaluate_model
from selectimprove.stages.rl import train_grpo
from selectimprove.tasks.chains.settings import Settings
from selectimprove.tasks.interface import load_task
from selectimprove.training import engine_vllm
from selectimprove.training.engine_vllm import Sampler, rollout_arguments, seed_rollouts, stop_engine
from selectimprove.training.trainer import prepare_torch

ROOT = Path(__file__).parents[2]
SETTINGS = VllmSettings(
    mode="colocate", gpu_memory_utilization=0.2, tensor_parallel=1, server_host="localhost", server_port=8000
)
STEPS = [2, 3]
LONGEST = 3 * STEPS[1] + 8


def run_stage(stage: str, config: dict, output: Path, **inputs: Path) -> Path:
    """Run a stage in a process of its own and return the folder that it made."""
    command = [
        sys.executable,
        "-m",
        f"selectimprove.stages.{stage}",
        "--config",
        json.dumps(config),
        "--output",
        str(output),
    ]
    command += [part for role, folder in inputs.items() for part in ("--input", f"{role}={folder}")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-4000:]
    return output


@pytest.fixture(scope="session", autouse=True)
def weights_that_can_be_loaded_again():
    """Keep the CPU build from packing weights, as it does where there is AVX-512 or AMX: those that RL sends it later would fit nowhere."""
    from vllm.model_executor.layers import utils

    def multiply_with_torch(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "dispatch_cpu_unquantized_gemm", multiply_with_torch)
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> dict[str, Path]:
    """Problems, and a model after a short pretraining and SFT: right on some problems, wrong on others."""
    folder = tmp_path_factory.mktemp("made")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    chains = params["tasks"]["chains"]
    shared = {"seed": 1, "task_name": "chains", "task": {name: chains[name] for name in Settings.model_fields}}
    problems = {
        split: run_stage(
            "problems",
            shared
            | {"split": split, "n_problems": n, "problems": {"steps": STEPS, "evaluation_share": evaluation_share}},
            folder / split,
        )
        for split, n, evaluation_share in (
            ("sft_train", 512, 0.5),
            ("sft_validation", 64, 0.5),
            # Of one type, where one strategy is always the better: soon learned.
            ("rl", 512, 1.0),
            ("test", 512, 0.5),
        )
    }
    demonstrations = {
        split: run_stage(
            "demonstrations",
            shared | {"demonstrations": {"forward_share": 0.5}},
            folder / f"shown_{split}",
            problems=problems[split],
        )
        for split in ("sft_train", "sft_validation")
    }
    base = run_stage(
        "base",
        shared
        | {
            "optimizer": params["optimizer"],
            # vLLM's CPU build has no attention for heads of fewer than 32 dimensions.
            "model": params["model"] | {"n_heads": params["model"]["hidden_size"] // 32},
            "base": params["base"] | {"n_steps": 800, "warmup_steps": 50},
            "documents": chains["documents"] | {"max_chain_steps": 3},
        },
        folder / "base",
    )
    sft = run_stage(
        "sft",
        {
            "seed": 1,
            "learning_rate": 1e-3,
            "batch_size": 16,
            "device_batch_size": None,
            "n_epochs": 2,
            "warmup_steps": 20,
            "optimizer": params["optimizer"],
            "lora": None,
            "system_prompt": None,
        },
        folder / "sft",
        base=base,
        train=demonstrations["sft_train"],
        validation=demonstrations["sft_validation"],
    )
    return {"model": sft / "model", "test": problems["test"], "rl": problems["rl"]}


@pytest.fixture(scope="session")
def test_problems(made) -> pd.DataFrame:
    return pd.read_parquet(made["test"] / "problems.parquet")


@pytest.fixture(scope="session")
def prompts(test_problems) -> list[str]:
    return test_problems["prompt"].tolist()


@pytest.fixture
def sampler(made):
    sampler = Sampler(made["model"], None, SETTINGS, 1)
    yield sampler
    sampler.close()


def reference(folder: Path, prompts: list[str], temperature: float, seed: int = 1) -> list[str]:
    """Return one completion a prompt, by transformers."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    drawn = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    with torch.no_grad():
        generated = model.generate(**batch, max_new_tokens=LONGEST, **({"do_sample": False} | drawn))
    return tokenizer.batch_decode(generated[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def log_probabilities(folder: Path, prompts: list[str], completions: list[str], temperature: float = 1.0):
    """Return the log-probability of each whole completion, its end included."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    texts = [p + c + tokenizer.eos_token for p, c in zip(prompts, completions, strict=True)]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    starts = torch.tensor([len(ids) for ids in tokenizer(prompts)["input_ids"]])
    with torch.no_grad():
        scores = torch.log_softmax(model(**batch).logits[:, :-1].float() / temperature, dim=-1)
    chosen = scores.gather(2, batch["input_ids"][:, 1:, None])[..., 0]
    counted = (torch.arange(chosen.shape[1]) + 1 >= starts[:, None]) & batch["attention_mask"][:, 1:].bool()
    return (chosen * counted).sum(dim=1)


def assert_equal_but_for_ties(folder: Path, prompts: list[str], ours: list[str], theirs: list[str]) -> None:
    """Compare greedy completions; where two part, the tokens they part with must be as probable, but for rounding."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    parted = [(p, a, b) for p, a, b in zip(prompts, ours, theirs, strict=True) if a != b]
    for prompt, *pair in parted:
        start = tokenizer(prompt)["input_ids"]
        first, second = ([*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in pair)
        at = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
        with torch.no_grad():
            scores = torch.log_softmax(model(torch.tensor([start + first[:at]])).logits[0, -1], dim=-1)
        assert abs(scores[first[at]] - scores[second[at]]) < 1e-3
    assert len(parted) <= len(prompts) // 50


def mean_and_error(values) -> tuple[float, float]:
    """Return a mean and its standard error."""
    values = torch.as_tensor(values, dtype=torch.float64)
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


def agree(first, second) -> bool:
    """Tell whether the 95 % interval of the difference of two means holds 0."""
    (one, error), (other, other_error) = mean_and_error(first), mean_and_error(second)
    return abs(one - other) <= 1.96 * math.hypot(error, other_error)


def test_tokens_come_and_go_as_in_transformers(sampler, prompts, made):
    from vllm import SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(made["model"])
    outputs = sampler.llm.generate(prompts, SamplingParams(temperature=0, max_tokens=LONGEST), use_tqdm=False)
    assert [output.prompt_token_ids for output in outputs] == tokenizer(prompts)["input_ids"]
    texts = [output.outputs[0].text for output in outputs]
    assert texts == [tokenizer.decode(output.outputs[0].token_ids, skip_special_tokens=True) for output in outputs]
    assert [[text] for text in texts] == sampler.sample(prompts, 0, 1, LONGEST, 1)


def test_greedy_completions_are_those_of_transformers(sampler, prompts, made):
    completions = sampler.sample(prompts, 0, 2, LONGEST, 1)
    assert all(first == second for first, second in completions)
    ours = [first for first, _ in completions]
    assert len(set(ours)) > len(ours) / 2
    assert_equal_but_for_ties(made["model"], prompts, ours, reference(made["model"], prompts, 0))


def test_an_exported_model_says_what_its_artifact_says(prompts, made, tmp_path, monkeypatch):
    plan = Plan(load_params(ROOT / "params.yaml"))
    artifact, folder = next(iter(plan.artifacts["sft"].values())), tmp_path / "exported"
    monkeypatch.chdir(tmp_path)
    artifact.folder.parent.mkdir(parents=True)
    artifact.folder.symlink_to(made["model"].parent)
    folder.mkdir()
    write_model(plan.params, Checkpoint(artifact, artifact.folder / "model", 0), str(folder), folder)
    assert (folder / "README.md").read_text().startswith("---\n")
    sampler = Sampler(folder, None, SETTINGS, 1)
    completions = [text for (text,) in sampler.sample(prompts, 0, 1, LONGEST, 1)]
    sampler.close()
    assert_equal_but_for_ties(made["model"], prompts, completions, reference(made["model"], prompts, 0))


def test_samples_are_distributed_as_those_of_transformers(sampler, prompts, test_problems, made):
    def pass_rates(completions):
        return [load_task("chains").reward(c, a) for c, a in zip(completions, test_problems["answer"], strict=True)]

    def likelihoods(completions):
        return log_probabilities(made["model"], prompts, completions, temperature=0.7)

    ours = [samples[0] for samples in sampler.sample(prompts, 0.7, 1, LONGEST, 1)]
    theirs = reference(made["model"], prompts, 0.7)
    hotter = [samples[0] for samples in sampler.sample(prompts, 1.4, 1, LONGEST, 1)]
    assert 0.1 < mean_and_error(pass_rates(theirs))[0] < 0.9
    assert agree(pass_rates(ours), pass_rates(theirs))
    assert agree(likelihoods(ours), likelihoods(theirs))
    assert not agree(likelihoods(hotter), likelihoods(theirs))


def test_seeds_repeat_and_differ(sampler, prompts):
    first = sampler.sample(prompts, 0.7, 2, LONGEST, 1)
    assert sampler.sample(prompts, 0.7, 2, LONGEST, 1) == first
    other = sampler.sample(prompts, 0.7, 2, LONGEST, 2)
    assert sum(a != b for a, b in zip(first, other, strict=True)) > len(prompts) / 2
    assert sum(a != b for a, b in first) > len(prompts) / 4


def test_equal_prompts_get_samples_of_their_own(sampler, prompts):
    samples = sampler.sample([prompts[0]] * 32, 1.0, 2, LONGEST, 1)
    assert len({completion for pair in samples for completion in pair}) > 8


def test_a_new_engine_repeats_a_seed(made, prompts):
    completions = []
    for engine_seed in (1, 2):
        sampler = Sampler(made["model"], None, SETTINGS, engine_seed)
        completions.append(sampler.sample(prompts[:64], 0.7, 2, LONGEST, 5))
        sampler.close()
        assert not engine_vllm.running
    assert completions[0] == completions[1]


@pytest.fixture(scope="session")
def adapters(made, tmp_path_factory) -> list[tuple[Path, Path]]:
    """Two adapters of the model, random so that they change what it says, each with the model it merges into."""
    folder = tmp_path_factory.mktemp("adapters")
    pairs = []
    for number in (1, 2):
        torch.manual_seed(number)
        config = LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
        )
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(made["model"]), config)
        adapter, merged = folder / f"step-{number}", folder / f"merged-{number}"
        model.save_pretrained(adapter)
        model.merge_and_unload().save_pretrained(merged)
        AutoTokenizer.from_pretrained(made["model"]).save_pretrained(merged)
        pairs.append((adapter, merged))
    return pairs


def test_adapters_are_the_merged_models_and_share_an_engine(made, prompts, adapters):
    plain = reference(made["model"], prompts, 0)
    engines = []
    for adapter, merged in adapters:
        sampler = Sampler(adapter, made["model"], SETTINGS, 1)
        ours = [first for (first,) in sampler.sample(prompts, 0, 1, LONGEST, 1)]
        engines.append(sampler.llm)
        sampler.close()
        assert_equal_but_for_ties(merged, prompts, ours, reference(merged, prompts, 0))
        assert sum(a != b for a, b in zip(ours, plain, strict=True)) > len(prompts) / 4
    assert engines[0] is engines[1]
    stop_engine()
    assert not engine_vllm.running


def test_an_adapter_needs_its_model(adapters):
    with pytest.raises(ValueError, match="name the model"):
        Sampler(adapters[0][0], None, SETTINGS, 1)


@pytest.fixture
def engine_for_trl(monkeypatch):
    """Have TRL make an engine that the CPU build can follow the training with.

    That build packs the weights for oneDNN and drops the originals, and TRL would find nothing to write each step's weights
    into; a GPU keeps them. And without a GPU, compiling takes longer than it saves.
    """
    from trl.generation import vllm_generation
    from vllm import _custom_ops

    monkeypatch.setattr(_custom_ops, "_supports_onednn", False)
    monkeypatch.setattr(vllm_generation, "LLM", partial(vllm_generation.LLM, enforce_eager=True))


@pytest.fixture
def train(made, tmp_path, engine_for_trl):
    """Return a function that trains by GRPO with colocated vLLM and returns completions and mean reward by step."""
    from vllm.distributed import cleanup_dist_env_and_memory

    def train(seed: int, n_steps: int, seeding=seed_rollouts, afterwards=lambda llm: None):
        prepare_torch(seed)
        completions_seen = []

        def reward(completions, answer, **_):
            completions_seen.append(completions)
            return [load_task("chains").reward(c, a) for c, a in zip(completions, answer, strict=True)]

        problems = pd.read_parquet(made["rl"] / "problems.parquet")
        arguments = GRPOConfig(
            output_dir=str(tmp_path / "trainer"),
            seed=seed,
            # In one order, so that what differs between seeds is what the engine draws.
            shuffle_dataset=False,
            learning_rate=3e-4,
            lr_scheduler_type="constant",
            max_steps=n_steps,
            per_device_train_batch_size=128,
            num_generations=8,
            temperature=0.7,
            max_completion_length=LONGEST,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **rollout_arguments(SETTINGS),
        )
        with seeding(seed):
            trainer = GRPOTrainer(
                model=AutoModelForCausalLM.from_pretrained(made["model"]),
                reward_funcs=reward,
                args=arguments,
                train_dataset=Dataset.from_pandas(problems[["prompt", "answer"]].sample(frac=1, random_state=1)),
                processing_class=AutoTokenizer.from_pretrained(made["model"]),
            )
        trainer.train()
        llm = trainer.vllm_generation.llm
        afterwards(llm)
        llm.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()
        return completions_seen, [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]

    return train


def test_rollouts_learn_and_follow_the_seed(train):
    completions, rewards = train(seed=1, n_steps=30)
    assert mean(rewards[-10:]) > mean(rewards[:3]) + 0.2
    forward = [mean(c.split()[0] == "forward" for c in step) for step in completions]
    assert mean(forward[-10:]) > mean(forward[:3]) + 0.2
    assert len(set(completions[0][:8])) > 1
    again, _ = train(seed=1, n_steps=3)
    assert again == completions[:3]
    other, _ = train(seed=2, n_steps=1)
    assert other[0] != completions[0]


def test_rollouts_without_their_seed_are_the_same_in_every_run(train):
    first, _ = train(seed=1, n_steps=1, seeding=nullcontext)
    other, _ = train(seed=2, n_steps=1, seeding=nullcontext)
    assert first == other


def test_rollouts_draw_from_the_generator_that_checkpoints_keep(train, prompts):
    from vllm import SamplingParams

    drawn = []

    def draw(llm):
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            llm.reset_prefix_cache()
            outputs = llm.generate(prompts[:64], SamplingParams(max_tokens=LONGEST), use_tqdm=False)
            drawn.append([output.outputs[0].text for output in outputs])

    train(seed=1, n_steps=1, afterwards=draw)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_stages_of_rl_and_evaluation_run_on_this_engine(made, tmp_path, engine_for_trl):
    from vllm.distributed import cleanup_dist_env_and_memory

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings = {"n_steps": 4, "prompts_per_step": 8, "checkpoint_every": 2}
    chains = params["tasks"]["chains"]
    task = {"task_name": "chains", "task": {name: chains[name] for name in Settings.model_fields}}
    shared = task | {"seed": 1, "system_prompt": None, "sampling": Sampling(engine="vllm", vllm=SETTINGS)}
    config = RlStage(rl=params["rl"] | settings, optimizer=params["optimizer"], **shared)
    policy, evaluation = tmp_path / "policy", tmp_path / "evaluation"
    policy.mkdir()
    evaluation.mkdir()
    train_grpo(config, {"sft": made["model"].parent, "problems": made["rl"]}, policy)
    gc.collect()
    cleanup_dist_env_and_memory()
    assert len(pd.read_parquet(policy / "rollouts.parquet")) == 4 * 8 * 8

    sizes = {"n_samples": 2, "curve_problems": {"test": 512}, "told_problems": 32}
    asked = EvaluationStage(temperature=0.7, checkpoints="all", **sizes, **shared)
    evaluate_model(asked, {"policy": policy, "test": made["test"]}, evaluation)
    generations = pd.read_parquet(evaluation / "generations.parquet")
    assert generations.groupby("rl_step").size().to_dict() == {2: 1024, 4: 1024}
    told = pd.read_parquet(evaluation / "interventions.parquet").query("told != ''")
    assert [text.split()[0] for text in told["completion"]] == told["told"].tolist()


def test_rollout_arguments_are_those_of_the_mode():
    server = rollout_arguments(SETTINGS.model_copy(update={"mode": "server"}))
    assert server["vllm_server_port"] == 8000
    assert "vllm_gpu_memory_utilization" not in server
    for arguments in (server, rollout_arguments(SETTINGS)):
        GRPOConfig(output_dir="unused", use_cpu=True, bf16=False, **arguments)
