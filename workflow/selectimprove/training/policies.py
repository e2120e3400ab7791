"""Policies: loading and prompting a model, whole or as a LoRA adapter.

A checkpoint is a folder that ``from_pretrained`` loads. With LoRA it holds the adapter only; the model that the adapter
belongs to is a separate input. All stages use `render_prompts`, so they prompt alike.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.jinja",
)
"""The files that transformers loads a model and its tokenizer from, except pickles."""


def copy_model(source: Path, target: Path) -> None:
    """Copy the files of a model and its tokenizer, and nothing else."""
    target.mkdir(parents=True, exist_ok=True)
    for pattern in FILES:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)


def is_adapter(checkpoint: Path) -> bool:
    """Tell whether a checkpoint holds only an adapter."""
    return (checkpoint / "adapter_config.json").is_file()


def load_model(checkpoint: Path, base: Path | None = None, trainable: bool = False) -> PreTrainedModel:
    """Load a checkpoint, or an adapter on `base`, which may have moved since the adapter was trained."""
    if not is_adapter(checkpoint):
        return AutoModelForCausalLM.from_pretrained(checkpoint)
    from peft import PeftModel

    return PeftModel.from_pretrained(load_frozen(base), checkpoint, is_trainable=trainable)


def load_frozen(base: Path) -> PreTrainedModel:
    """Load a model whose own weights are not trained: in 16 bits where a GPU computes with them."""
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16 if has_bfloat16() else torch.float32)


def has_bfloat16() -> bool:
    """Tell whether there is a GPU that computes in bfloat16; older GPUs only emulate it."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def load_tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint."""
    return AutoTokenizer.from_pretrained(checkpoint)


def keeps_first_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Tell whether decoding returns the space before a first word; tokenizers of SentencePiece lose it."""
    return tokenizer.decode(tokenizer(" answer", add_special_tokens=False)["input_ids"]).startswith(" ")


def render_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Iterable[str], system_prompt: str | None = None
) -> list[str]:
    """Return the texts that a model is prompted with: problems, or with a system prompt chats that ask them."""
    if system_prompt is None:
        return list(prompts)
    return [
        tokenizer.apply_chat_template(
            [{"role": "system", "content": system_prompt}, {"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for prompt in prompts
    ]


def render_completions(completions: Iterable[str], system_prompt: str | None = None) -> list[str]:
    """Return demonstrated responses as they follow rendered prompts: a chat's turn begins without a space."""
    return [completion.lstrip() for completion in completions] if system_prompt else list(completions)
