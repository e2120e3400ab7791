"""The base model of the paper's scale: a pretrained causal language model of any architecture that transformers knows.

It comes from the hub or its cache, or from a folder, as safetensors or as a GGUF file, whose weights are dequantised.
Files are compared with the hashes in ``params.yaml`` and with the hub's own, and the architecture with ``model`` and
``lora``. Then `selectimprove.stages.pretrained.fitting` adapts the checkpoint. For rehearsals without a download it has
random weights, and a tokenizer of bytes.
"""

import importlib.util
import re
import shutil
from pathlib import Path

import huggingface_hub
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from selectimprove.artifacts.provenance import file_hash
from selectimprove.config.messages import unknown_name
from selectimprove.config.stages import PretrainedStage
from selectimprove.config.training import ALL_LINEAR, Pretrained
from selectimprove.errors import ParamsError
from selectimprove.stages.pretrained.fitting import fit_chat, fit_ends, fit_precision
from selectimprove.training.architecture import build_byte_tokenizer, build_model
from selectimprove.training.policies import FILES, copy_model


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
            # Second copies of the weights, for other programs.
            ignore_patterns=["*/*", "consolidated*.safetensors"],
            endpoint=pretrained.mirror,
        )
    except (OSError, RuntimeError) as error:
        what = f"{pretrained.repository} at {pretrained.revision[:8]} is neither cached nor can be downloaded"
        use = "set pretrained.weights to a folder that holds it, or pretrained.mirror to a mirror of the hub"
        raise ParamsError(f"pretrained: {what} ({first_line(error)}); {use}") from error
    return Path(folder)


def check_hashes(folder: Path, sha256: dict[str, str] | None) -> None:
    """Compare files with their expected hashes; the hub's cache names large files by theirs."""
    expected = {path.name: path.resolve().name for path in folder.iterdir()}
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
    # The weights are plain numbers now, but transformers does not save a model that says it is quantised.
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
        fit_ends(target)
        if config.chat:
            fit_chat(target)
    if config.target_modules is None:
        fit_precision(target)
