"""The base model of the paper's scale: a checkpoint of the Hugging Face hub at a pinned revision.

It comes from the hub's cache of this user, from the hub or a mirror of it, or from a folder. Files are checked against the hashes
in ``params.yaml``, and against those that the hub stores large files by; the architecture against ``model``. For rehearsals without a download
it can be the same architecture with random weights, and a tokenizer of bytes with Qwen2.5's chat template.
"""

import json
import shutil
from pathlib import Path

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import PretrainedStage
from selectimprove.training.hub import FILES, build_random, check_architecture, check_hashes, download
from selectimprove.types import ParamsError


def fetch_model(config: PretrainedStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write the checkpoint to ``model/``."""
    pretrained, target = config.pretrained, folder / "model"
    if pretrained.weights == "random":
        build_random(config.model, target)
        return
    source = download(pretrained) if pretrained.weights == "hub" else Path(pretrained.weights)
    if not (source / "config.json").is_file():
        raise ParamsError(
            f"pretrained.weights: {source} is no folder with a config.json; use 'hub', 'random' or such a folder"
        )
    check_hashes(source, pretrained.sha256)
    check_architecture(json.loads((source / "config.json").read_text()), config.model)
    target.mkdir(exist_ok=True)
    for pattern in FILES:
        for path in source.glob(pattern):
            shutil.copyfile(path, target / path.name)


if __name__ == "__main__":
    run_stage(PretrainedStage, fetch_model)
