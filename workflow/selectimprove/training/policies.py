"""Policies: how a model is loaded and asked, trained from scratch or pretrained, kept whole or as an adapter.

A checkpoint is a folder that ``from_pretrained`` loads. With LoRA it holds the adapter alone, and the model that it belongs to is an input
of its own. A prompt is the problem's text, or that text in the chat template behind a system prompt: SFT, RL and evaluation all ask
through `render_prompts`, so that they cannot ask differently.
"""

from functools import cache
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
"""What transformers loads a model and its tokenizer from, pickles left out."""


def is_adapter(checkpoint: Path) -> bool:
    """Tell whether a checkpoint holds an adapter alone."""
    return (checkpoint / "adapter_config.json").is_file()


def load_model(checkpoint: Path, base: Path | None = None, trainable: bool = False) -> PreTrainedModel:
    """Load a checkpoint.

    Parameters
    ----------
    checkpoint : Path
    base : Path, optional
        The model that an adapter belongs to; it may have moved since the adapter was trained.
    trainable : bool
        Whether an adapter will be trained on.

    Returns
    -------
    PreTrainedModel or peft.PeftModel
    """
    if not is_adapter(checkpoint):
        return AutoModelForCausalLM.from_pretrained(checkpoint)
    from peft import PeftModel

    return PeftModel.from_pretrained(load_frozen(base), checkpoint, is_trainable=trainable)


def load_frozen(base: Path) -> PreTrainedModel:
    """Load a model whose own weights will not be trained: at half precision where a GPU computes with it."""
    dtype = torch.bfloat16 if has_bfloat16() else torch.float32
    return AutoModelForCausalLM.from_pretrained(base, dtype=dtype)


def has_bfloat16() -> bool:
    """Tell whether there is a GPU that computes with numbers of 16 bits as wide as those of 32; older ones only imitate it."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def load_tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer that lies in a checkpoint."""
    return AutoTokenizer.from_pretrained(checkpoint)


def keeps_first_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Tell whether the space before a first word comes back from its tokens; those of SentencePiece lose it."""
    return tokenizer.decode(tokenizer(" answer", add_special_tokens=False)["input_ids"]).startswith(" ")


def render_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: list[str], system_prompt: str | None = None
) -> list[str]:
    """Return the texts with which a model is asked: the problems', or with a system prompt their chats."""
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


def render_completions(completions: list[str], system_prompt: str | None = None) -> list[str]:
    """Return the demonstrated responses as they follow `render_prompts`: a chat's turn begins without a space."""
    return [completion.lstrip() for completion in completions] if system_prompt else list(completions)


def max_new_tokens(tokenizer: PreTrainedTokenizerBase, longest_response: list[str]) -> int:
    """Bound the length of a response: what the words of the longest take, and the end.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    longest_response : list of str
        As a task says it of its longest problem.
    """
    length = cache(lambda word: len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]))
    return sum(map(length, longest_response)) + 3
