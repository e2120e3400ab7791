"""The base model of the paper's scale: a pretrained causal language model of any architecture that transformers knows.

It comes from the hub's cache of this user, from the hub or a mirror of it, or from a folder; as safetensors, or as a GGUF file, whose weights
are dequantised. Files are checked against the hashes in ``params.yaml``, and against those that the hub stores large files by; the architecture
against ``model`` and ``lora``. What is left in ``model/`` loads and behaves like any other checkpoint of this package: where the tokenizer,
its chat template or what is recommended for sampling would get in the way, they are adapted (`selectimprove.stages.pretrained.fitting`).

For rehearsals without a download it can be random weights, and a tokenizer of bytes with Qwen2.5's chat template.
"""

import shutil
from pathlib import Path

from selectimprove.config.stages import PretrainedStage
from selectimprove.stages.pretrained.checks import check_architecture
from selectimprove.stages.pretrained.fitting import fit_chat, fit_ends, fit_precision
from selectimprove.stages.pretrained.gguf import dequantise
from selectimprove.training.hub import FILES, build_random, check_hashes, download
from selectimprove.types import ParamsError


def fetch_model(config: PretrainedStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write the checkpoint to ``model/``."""
    pretrained, target = config.pretrained, folder / "model"
    # A killed run may have left half a checkpoint.
    shutil.rmtree(target, ignore_errors=True)
    if pretrained.weights == "random":
        build_random(config.model, target)
    else:
        _copy(config, target)
        fit_ends(target)
        if config.chat:
            fit_chat(target)
    if config.target_modules is None:
        fit_precision(target)


def _copy(config: PretrainedStage, target: Path) -> None:
    pretrained = config.pretrained
    source = download(pretrained) if pretrained.weights == "hub" else Path(pretrained.weights)
    if pretrained.gguf and not (source / pretrained.gguf).is_file():
        raise ParamsError(f"pretrained.gguf: {source} has no {pretrained.gguf}")
    if not pretrained.gguf and not (source / "config.json").is_file():
        raise ParamsError(
            f"pretrained.weights: {source} is no folder with a config.json; use 'hub', 'random' or such a folder, or name the GGUF "
            "file in it with pretrained.gguf"
        )
    check_hashes(source, pretrained.sha256)
    check_architecture(source, config)
    if pretrained.gguf:
        dequantise(source, pretrained.gguf, target)
        return
    if not list(source.glob("*.safetensors")):
        raise ParamsError(
            f"pretrained.weights: {source} has no safetensors; convert the weights with transformers first"
        )
    target.mkdir()
    for pattern in FILES:
        for path in source.glob(pattern):
            shutil.copyfile(path, target / path.name)
