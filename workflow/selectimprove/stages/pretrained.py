"""The base model of the paper's scale: a pretrained causal language model of any architecture that transformers knows.

It comes from the hub or its cache, or from a folder, as safetensors or as a GGUF file, whose weights are dequantised.
Files are compared with the hashes in ``params.yaml`` and with the hub's own, and the architecture with ``model`` and
``lora``. For rehearsals without a download it has random weights, and a tokenizer of bytes.

Then the checkpoint is adapted so that stages can treat all models alike; a file is rewritten only where needed. SFT
ends each demonstration with the tokenizer's end of text, and RL and evaluation stop there. All stages prompt with the
text that the chat template makes, and sample by temperature only. Checkpoints differ in all of this.
"""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import huggingface_hub
import torch
from jinja2 import TemplateError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from selectimprove.artifacts.provenance import file_hash
from selectimprove.artifacts.runner import run_stage
from selectimprove.config.messages import unknown_name
from selectimprove.config.stages import PretrainedStage
from selectimprove.config.training import ALL_LINEAR, Pretrained
from selectimprove.errors import ParamsError
from selectimprove.training.architecture import build_byte_tokenizer, build_model
from selectimprove.training.policies import FILES, copy_model, load_tokenizer, render_prompts

TODAY = "{% macro strftime_now(format) %}01 Jan 2025{% endmacro %}"
"""Precedes a template that prints the date, so that a prompt is the same tomorrow."""
SYSTEM_IN_USER = (
    "{% if messages and messages[0]['role'] == 'system' %}{% set messages = [{'role': messages[1]['role'], 'content': "
    "messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}{% endif %}"
)
"""Precedes a template without system prompts, and puts the system prompt before the question."""
SYSTEM, QUESTION, ANSWER = "Follow chain s1.", "start e1 end ?", "answer e1"
PLAIN = ("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache")
"""Keys of ``generation_config.json`` that do not change how completions are sampled."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().partition("\n")[0]


def download(pretrained: Pretrained) -> Path:
    """Return the checkpoint's folder in the hub's cache, downloading what is missing."""
    try:
        folder = huggingface_hub.snapshot_download(
            repo_id=pretrained.repository,
            revision=pretrained.revision,
            allow_patterns=[pretrained.gguf] if pretrained.gguf else list(FILES),
            # These are second copies of the weights, for other programs.
            ignore_patterns=["*/*", "consolidated*.safetensors"],
            endpoint=pretrained.mirror,
        )
    except (OSError, RuntimeError) as error:
        what = f"{pretrained.repository} at {pretrained.revision[:8]} is not cached and cannot be downloaded"
        use = "set pretrained.weights to a folder that holds it, or pretrained.mirror to a mirror of the hub"
        raise ParamsError(f"pretrained: {what} ({first_line(error)}); {use}") from error
    return Path(folder)


def check_hashes(folder: Path, sha256: dict[str, str] | None) -> None:
    """Compare files with their expected hashes; in the hub's cache, the name of a large file is its hash."""
    expected = {path.name: path.resolve().name for path in folder.glob("[!.]*")}
    expected = {name: blob for name, blob in expected.items() if re.fullmatch(r"[0-9a-f]{64}", blob)} | (sha256 or {})
    for name, right in sorted(expected.items()):
        path = folder / name
        if not path.is_file():
            raise ParamsError(f"pretrained.sha256: {folder} has no {name}")
        if (found := file_hash(path)) != right:
            raise ParamsError(f"pretrained.sha256: {name} hashes to {found}, not to {right}; remove {path.resolve()}")


def check_architecture(source: Path, config: PretrainedStage) -> None:
    """Compare a checkpoint with ``model`` and with ``lora.target_modules``, without reading its weights."""
    read = {"gguf_file": config.pretrained.gguf} if config.pretrained.gguf else {}
    try:
        found = AutoConfig.from_pretrained(source, trust_remote_code=False, **read)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(found, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        raise ParamsError(f"pretrained: {source} is no causal language model: {first_line(error)}") from error
    found = found.get_text_config()
    right = {
        "hidden_size": found.hidden_size,
        "n_layers": found.num_hidden_layers,
        "n_heads": found.num_attention_heads,
        # Some architectures leave these out where they have their usual values.
        "n_kv_heads": getattr(found, "num_key_value_heads", None) or found.num_attention_heads,
        "intermediate_size": getattr(found, "intermediate_size", None) or 4 * found.hidden_size,
        "vocab_size": found.vocab_size,
    }
    for key, size in right.items():
        if (asked := getattr(config.model, key)) != size:
            sizes = ", ".join(f"{name}: {number}" for name, number in right.items())
            raise ParamsError(f"model.{key}: {asked}, but the checkpoint has {size}; use {{{sizes}}}")
    if config.target_modules in (None, ALL_LINEAR):
        return
    logits = model.get_output_embeddings()
    # Most architectures have torch's linear layers, GPT-2 has its own.
    layers = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not logits
    }
    for module in config.target_modules:
        for mistake in unknown_name("lora.target_modules", module, sorted(layers)):
            raise ParamsError(f"{mistake}; {type(model).__name__} has {', '.join(sorted(layers))}")


def dequantise(source: Path, name: str, target: Path) -> None:
    """Write a GGUF file as 16-bit safetensors, with the tokenizer in it."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.bfloat16)
    except (ValueError, NotImplementedError) as error:
        raise ParamsError(f"pretrained.gguf: {name}: {first_line(error)}") from error
    # transformers does not save a model whose config says that it is quantised, which it no longer is.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def copy_checkpoint(config: PretrainedStage, target: Path) -> None:
    """Find the checkpoint, check it and copy it to `target` as safetensors."""
    pretrained = config.pretrained
    gguf = pretrained.gguf
    source = download(pretrained) if pretrained.weights == "hub" else Path(pretrained.weights)
    if gguf and not (source / gguf).is_file():
        raise ParamsError(f"pretrained.gguf: {source} has no {gguf}")
    if gguf and importlib.util.find_spec("gguf") is None:
        raise ParamsError(f"pretrained.gguf: reading {gguf} needs the package gguf; `pip install '.[gguf]'`")
    if not gguf and not (source / "config.json").is_file():
        use = "use 'hub', 'random' or such a folder, or name the GGUF file in it with pretrained.gguf"
        raise ParamsError(f"pretrained.weights: {source} is no folder with a config.json; {use}")
    check_hashes(source, pretrained.sha256)
    check_architecture(source, config)
    if gguf:
        dequantise(source, gguf, target)
    elif list(source.glob("*.safetensors")):
        copy_model(source, target)
    else:
        raise ParamsError(f"pretrained.weights: {source} has no safetensors; convert them with transformers first")


def fit_tokenizer(folder: Path, chat: bool) -> None:
    """Give the tokenizer padding and the end of text that the model stops at, and drop recommended sampling.

    A tokenizer from a GGUF file may name another end than the model; one that ends every text would end prompts too.
    `generate` would combine recommended sampling with the temperature in the params.
    """
    tokenizer, generation = load_tokenizer(folder), _read_json(folder / "generation_config.json")
    named = (config.get("eos_token_id") for config in (generation, _read_json(folder / "config.json")))
    ends = next((ends for ends in named if ends is not None), [])
    ends = ends if isinstance(ends, list) else [ends]
    if tokenizer.eos_token is None and not ends:
        raise ParamsError("pretrained: the tokenizer has no end of text, which SFT teaches and sampling stops at")
    before = _fitted(tokenizer)
    if ends and tokenizer.eos_token_id not in ends:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    first, *_, last = tokenizer("e1 e2")["input_ids"]
    if last == tokenizer.eos_token_id:
        tokenizer.add_bos_token, tokenizer.add_eos_token = first == tokenizer.bos_token_id, False
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    stops = ends or [tokenizer.eos_token_id]
    if chat:
        fit_chat(tokenizer)
    if _fitted(tokenizer) != before:
        tokenizer.save_pretrained(folder)
    right = {name: value for name, value in generation.items() if name in PLAIN or name.startswith(("_", "output_"))}
    if tokenizer.eos_token_id not in ends:
        right["eos_token_id"] = list(dict.fromkeys([tokenizer.eos_token_id, *stops]))
    if right.get("pad_token_id") is None:
        right["pad_token_id"] = tokenizer.pad_token_id
    if right != generation:
        (folder / "generation_config.json").write_text(json.dumps(right, indent=2) + "\n")


def fit_chat(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the chat template show a system prompt, and take the end of its turns as the end of text."""
    if tokenizer.chat_template is None:
        raise ParamsError("system_prompt: the pretrained model has no chat template; use an instruct model, or null")
    if "strftime_now" in tokenizer.chat_template:
        tokenizer.chat_template = TODAY + tokenizer.chat_template
    if not _shows_system(tokenizer):
        tokenizer.chat_template = SYSTEM_IN_USER + tokenizer.chat_template
        if not _shows_system(tokenizer):
            raise ParamsError("system_prompt: the chat template of the pretrained model does not show it")
    end = _end_of_turn(tokenizer)
    if end is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    # Stages tokenize the template's text. If both template and tokenizer add a beginning, it would be there twice.
    (prompt,) = render_prompts(tokenizer, [QUESTION], SYSTEM)
    if tokenizer(prompt)["input_ids"][:2] == [tokenizer.bos_token_id] * 2:
        tokenizer.add_bos_token = False


def fit_precision(folder: Path) -> None:
    """Have weights loaded in 32 bits: fine-tuning changes 16-bit weights by less than their rounding."""
    path = folder / "config.json"
    config = {name: value for name, value in _read_json(path).items() if name != "torch_dtype"}
    path.write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _fitted(tokenizer: PreTrainedTokenizerBase) -> list:
    """List all that `fit_tokenizer` may change."""
    names = ("eos_token", "pad_token", "add_bos_token", "add_eos_token", "chat_template")
    return [getattr(tokenizer, name, None) for name in names]


def _shows_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    try:
        (prompt,) = render_prompts(tokenizer, [QUESTION], SYSTEM)
    except TemplateError:
        return False
    return SYSTEM in prompt and QUESTION in prompt


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the first special token after an answer; None if the template ends a turn without one."""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
    ]
    after = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(ANSWER)[2]
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = tokenizer(after, add_special_tokens=False)["input_ids"]
    return next((number for number in ids if number in special), None)


def fetch_model(config: PretrainedStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write the checkpoint to ``model/``."""
    target = folder / "model"
    # A killed run may have left half a checkpoint.
    shutil.rmtree(target, ignore_errors=True)
    if config.pretrained.weights == "random":
        torch.manual_seed(0)
        tokenizer = build_byte_tokenizer()
        model = build_model(config.model, tokenizer, vocab_size=config.model.vocab_size, n_positions=4096)
        model.to(torch.bfloat16).save_pretrained(target)
        tokenizer.save_pretrained(target)
    else:
        copy_checkpoint(config, target)
        fit_tokenizer(target, config.chat)
    if config.target_modules is None:
        fit_precision(target)


if __name__ == "__main__":
    run_stage(PretrainedStage, fetch_model)
