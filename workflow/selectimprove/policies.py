"""Policies: how a model is loaded and asked, trained from scratch or pretrained, kept whole or as an adapter.

A checkpoint is a folder that ``from_pretrained`` loads. With LoRA it holds the adapter alone, and the model that it belongs to is an input
of its own. A prompt is the problem's text, or that text in the chat template behind a system prompt: SFT, RL and evaluation all ask
through `render_prompts`, so that they cannot ask differently.
"""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

LONGEST_WORDS = ("s10", "/e10", "e10")
"""The label, the operation and the value of a step, where they take most tokens."""
OTHER_WORDS = ("backward", "guess", "e10", "answer", "e10")


def is_adapter(checkpoint: Path) -> bool:
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
    """Load a model whose own weights will not be trained: at half precision where there is a GPU."""
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return AutoModelForCausalLM.from_pretrained(base, dtype=dtype)


def load_tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(checkpoint)


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


def max_new_tokens(tokenizer: PreTrainedTokenizerBase, n_steps: int) -> int:
    """Bound the length of a response to a problem: what its words take at most, and the end.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    n_steps : int
        Most steps of any problem.
    """

    def count(words):
        return sum(len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]) for word in words)

    return n_steps * count(LONGEST_WORDS) + count(OTHER_WORDS) + 3
