"""Pretrained models that are no Qwen2, tiny and with random weights: what is compared, and what is adapted so that all stages can use them."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, T5Config

from selectimprove.config.stages import PretrainedStage
from selectimprove.config.training import Model, Pretrained
from selectimprove.errors import ParamsError
from selectimprove.stages.pretrained import fetch_model
from selectimprove.training.policies import render_prompts

SIZES = {"hidden_size": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 48, "vocab_size": 300}
COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 300,
    "head_dim": 8,
    "tie_word_embeddings": True,
    "eos_token_id": 256,
    "pad_token_id": None,
    "bos_token_id": None,
}
ABSENT = "absent"
SPECIAL = ["<end>", "<turn>", "<begin>"]
PLAIN = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<turn>\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + PLAIN
)
SILENT = "{% for m in messages if m['role'] != 'system' %}{{ m['role'] }}: {{ m['content'] }}<turn>\n{% endfor %}"
DATED = "{{ strftime_now('%d %b %Y') }}\n" + PLAIN
BEGUN = "{{ bos_token }}" + PLAIN


def write_checkpoint(
    folder: Path,
    template: str | None = PLAIN,
    wrapped: str = "$A",
    kind: str = "llama",
    dtype=torch.bfloat16,
    **sizes,
) -> Path:
    """Write a model with random weights and a tokenizer of bytes."""
    torch.manual_seed(0)
    sizes = {name: value for name, value in (COMMON | sizes).items() if value != ABSENT}
    config = AutoConfig.for_model(kind, **sizes)
    AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    backend.post_processor = processors.TemplateProcessing(
        single=wrapped, special_tokens=[("<end>", 256), ("<begin>", 258)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", bos_token="<begin>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def fetch(source: Path, folder: Path, chat: bool = True, target_modules="all-linear", pretrained=(), **sizes) -> Path:
    config = PretrainedStage(
        pretrained=Pretrained(weights=str(source), **dict(pretrained)),
        model=Model(**SIZES | sizes, rope_theta=1e4, initializer_range=0.02),
        chat=chat,
        target_modules=target_modules,
    )
    folder.mkdir(exist_ok=True)
    fetch_model(config, {}, folder)
    return folder / "model"


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("llama", "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"),
        ("mistral", "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"),
        ("qwen3", "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"),
        ("phi3", "down_proj, gate_up_proj, o_proj, qkv_proj"),
        ("gpt2", "c_attn, c_fc, c_proj"),
    ],
)
def test_a_model_of_any_architecture_is_taken_and_its_layers_are_named(kind, layers, tmp_path):
    own, sizes = {}, {}
    if kind == "gpt2":
        # It names neither key heads nor the inner size, which have their usual values.
        own = {"num_key_value_heads": ABSENT, "intermediate_size": ABSENT}
        sizes = {"n_kv_heads": 4, "intermediate_size": 128}
    source = write_checkpoint(tmp_path / "source", kind=kind, **own)
    fetched = fetch(source, tmp_path / "fetched", **sizes)
    before, after = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (source, fetched))
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(
        ParamsError,
        match=rf"lora.target_modules: 'projection' is unknown; .*ForCausalLM has {layers}|LMHeadModel has {layers}",
    ):
        fetch(source, tmp_path / "refused", target_modules=["projection"], **sizes)


def test_other_sizes_are_refused_with_all_that_would_be_right(tmp_path):
    source = write_checkpoint(tmp_path / "source")
    with pytest.raises(ParamsError) as error:
        fetch(source, tmp_path / "fetched", hidden_size=64)
    assert str(error.value) == (
        "model.hidden_size: 64, but the checkpoint has 32; use {hidden_size: 32, n_layers: 2, n_heads: 4, "
        "n_kv_heads: 2, intermediate_size: 48, vocab_size: 300}"
    )


def test_a_model_that_is_not_causal_is_refused(tmp_path):
    T5Config(num_layers=1, d_model=8).save_pretrained(tmp_path / "source")
    with pytest.raises(ParamsError, match="is no causal language model"):
        fetch(tmp_path / "source", tmp_path / "fetched")


def test_a_folder_without_safetensors_is_refused(tmp_path):
    source = write_checkpoint(tmp_path / "source")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(ParamsError, match="has no safetensors; convert them"):
        fetch(source, tmp_path / "fetched")


@pytest.mark.parametrize(
    "template", [PLAIN, NO_SYSTEM, SILENT + "{% if add_generation_prompt %}assistant: {% endif %}"]
)
def test_every_template_shows_the_system_prompt_and_the_question_once(template, tmp_path):
    fetched = fetch(write_checkpoint(tmp_path / "source", template), tmp_path / "fetched")
    (prompt,) = render_prompts(AutoTokenizer.from_pretrained(fetched), ["start e1 end ?"], "Solve the chain.")
    assert prompt.count("Solve the chain.") == prompt.count("start e1 end ?") == 1
    assert prompt.endswith("assistant: ")


def test_a_template_that_tells_the_date_tells_the_same_every_day(tmp_path, monkeypatch):
    fetched = fetch(write_checkpoint(tmp_path / "source", DATED), tmp_path / "fetched")
    (prompt,) = render_prompts(AutoTokenizer.from_pretrained(fetched), ["start e1 end ?"], "Solve the chain.")
    assert prompt.startswith("01 Jan 2025\nsystem: Solve")


@pytest.mark.parametrize("wrapped", ["$A", "<begin> $A", "<begin> $A <end>"])
@pytest.mark.parametrize("template", [BEGUN, PLAIN])
def test_a_prompt_begins_once_and_does_not_end(template, wrapped, tmp_path):
    fetched = fetch(write_checkpoint(tmp_path / "source", template, wrapped), tmp_path / "fetched")
    tokenizer = AutoTokenizer.from_pretrained(fetched)
    (prompt,) = render_prompts(tokenizer, ["start e1 end ?"], "Solve the chain.")
    ids = tokenizer(prompt)["input_ids"]
    assert ids.count(tokenizer.convert_tokens_to_ids("<begin>")) == (template == BEGUN or "<begin>" in wrapped)
    assert tokenizer.convert_tokens_to_ids("<end>") not in ids


def test_text_ends_where_the_template_ends_a_turn(tmp_path):
    fetched = fetch(write_checkpoint(tmp_path / "source"), tmp_path / "fetched")
    assert AutoTokenizer.from_pretrained(fetched).eos_token == "<turn>"
    assert AutoModelForCausalLM.from_pretrained(fetched).generation_config.eos_token_id == [257, 256]


def test_text_ends_where_the_model_stops_if_there_is_no_chat(tmp_path):
    source = write_checkpoint(tmp_path / "source", None, eos_token_id=257)
    tokenizer = AutoTokenizer.from_pretrained(fetch(source, tmp_path / "fetched", chat=False))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<turn>", "<turn>")


def test_a_chat_needs_a_template(tmp_path):
    with pytest.raises(ParamsError, match="system_prompt: the pretrained model has no chat template"):
        fetch(write_checkpoint(tmp_path / "source", None), tmp_path / "fetched")


def test_recommended_sampling_is_left_behind(tmp_path):
    source = write_checkpoint(tmp_path / "source")
    recommended = {"eos_token_id": 256, "min_p": 0.1, "no_repeat_ngram_size": 3, "temperature": 0.6}
    (source / "generation_config.json").write_text(json.dumps(recommended))
    kept = json.loads((fetch(source, tmp_path / "fetched") / "generation_config.json").read_text())
    assert kept == {"eos_token_id": [257, 256], "pad_token_id": 256}


@pytest.mark.parametrize(("target_modules", "dtype"), [("all-linear", torch.bfloat16), (None, torch.float32)])
def test_weights_that_are_trained_whole_are_loaded_with_32_bits(target_modules, dtype, tmp_path):
    fetched = fetch(write_checkpoint(tmp_path / "source"), tmp_path / "fetched", target_modules=target_modules)
    assert AutoModelForCausalLM.from_pretrained(fetched).dtype == dtype


def test_a_gguf_file_needs_the_package_that_reads_it(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ParamsError, match=r"pretrained.gguf: reading model.gguf needs the package gguf"):
        fetch(tmp_path, tmp_path / "fetched", pretrained={"gguf": "model.gguf"})


def test_a_gguf_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ParamsError, match=r"pretrained.gguf: .* has no model.gguf"):
        fetch(tmp_path, tmp_path / "fetched", pretrained={"gguf": "model.gguf"})
