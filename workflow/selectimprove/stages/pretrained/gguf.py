"""GGUF files: one file with quantised weights and the tokenizer, made an ordinary checkpoint."""

import importlib.util
from pathlib import Path

from selectimprove.types import ParamsError


def require_reader(name: str) -> None:
    """Refuse a GGUF file where the package that reads it is missing.

    Raises
    ------
    ParamsError
    """
    if importlib.util.find_spec("gguf") is None:
        raise ParamsError(
            f"pretrained.gguf: {name} is read by the package gguf, which is missing; `pip install '.[gguf]'`"
        )


def dequantise(source: Path, name: str, target: Path) -> None:
    """Write a GGUF file as safetensors of 16 bits, with the tokenizer that it holds.

    Raises
    ------
    ParamsError
        If transformers cannot read this architecture from GGUF.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.bfloat16)
    except (ValueError, NotImplementedError) as error:
        raise ParamsError(f"pretrained.gguf: {name}: {str(error).partition(chr(10))[0]}") from error
    # The weights are plain numbers now, but a model that says it is quantised is not saved.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
