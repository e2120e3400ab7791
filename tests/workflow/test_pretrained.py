"""Fetching a pretrained model without a network: from a folder, from the hub's cache, and refusals."""

import hashlib
import shutil
from pathlib import Path

import huggingface_hub
import pytest

from conftest import ROOT
from selectimprove.config.loading import load_params
from selectimprove.config.stages import PretrainedStage
from selectimprove.errors import ParamsError
from selectimprove.stages import pretrained as stage

REHEARSAL = load_params(ROOT / "params.yaml", {"scale": "rehearsal"})


def config(n_layers: int = 2, **changed) -> PretrainedStage:
    return PretrainedStage(
        pretrained=REHEARSAL.pretrained.model_copy(update={"sha256": {}} | changed),
        model=REHEARSAL.model.model_copy(update={"n_layers": n_layers}),
        chat=True,
        target_modules=REHEARSAL.lora.target_modules,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("random")
    stage.fetch_model(config(), {}, folder)
    return folder / "model"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_is_copied(checkpoint, tmp_path):
    hashes = {"model.safetensors": sha256(checkpoint / "model.safetensors")}
    stage.fetch_model(config(weights=str(checkpoint), sha256=hashes), {}, tmp_path)
    for path in checkpoint.iterdir():
        assert (tmp_path / "model" / path.name).read_bytes() == path.read_bytes()


def test_a_file_with_another_hash_is_refused(checkpoint, tmp_path):
    with pytest.raises(ParamsError, match=r"pretrained.sha256: model.safetensors hashes to \w+, not to 00"):
        stage.fetch_model(config(weights=str(checkpoint), sha256={"model.safetensors": "0" * 64}), {}, tmp_path)


def test_a_missing_file_is_refused(checkpoint, tmp_path):
    with pytest.raises(ParamsError, match=r"has no vocab\.bin"):
        stage.fetch_model(config(weights=str(checkpoint), sha256={"vocab.bin": "0" * 64}), {}, tmp_path)


def test_another_architecture_is_refused(checkpoint, tmp_path):
    with pytest.raises(ParamsError, match=r"model\.n_layers: 3, but the checkpoint has 2"):
        stage.fetch_model(config(n_layers=3, weights=str(checkpoint)), {}, tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"pretrained.weights: .* is no folder with a config.json"):
        stage.fetch_model(config(weights=str(tmp_path)), {}, tmp_path)


def as_cached(checkpoint: Path, cache: Path, revision: str) -> Path:
    """Lay a checkpoint out as the hub's cache does: files are links to blobs, large ones named by their hash."""
    repository = cache / "models--Qwen--Qwen2.5-1.5B-Instruct"
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for path in checkpoint.iterdir():
        blob = repository / "blobs" / (sha256(path) if path.suffix == ".safetensors" else sha256(path)[:40])
        shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(blob)
    return snapshot


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """The hub's client with a cache of its own and no network, as it is with HF_HUB_OFFLINE=1."""
    cache = tmp_path / "hub"
    cache.mkdir()
    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda **asked: real(**asked, cache_dir=cache, local_files_only=True),
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cache


def test_what_is_cached_is_found_without_a_network(checkpoint, offline, tmp_path):
    as_cached(checkpoint, offline, REHEARSAL.pretrained.revision)
    stage.fetch_model(config(weights="hub"), {}, tmp_path)
    assert sha256(tmp_path / "model" / "model.safetensors") == sha256(checkpoint / "model.safetensors")


def test_a_damaged_cache_is_refused(checkpoint, offline, tmp_path):
    snapshot = as_cached(checkpoint, offline, REHEARSAL.pretrained.revision)
    with (snapshot / "model.safetensors").resolve().open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ParamsError, match=r"model.safetensors hashes to .* remove"):
        stage.fetch_model(config(weights="hub"), {}, tmp_path)


def test_offline_and_not_cached_is_one_clear_line(offline, tmp_path):
    with pytest.raises(ParamsError) as error:
        stage.fetch_model(config(weights="hub"), {}, tmp_path)
    line = str(error.value)
    assert "\n" not in line
    assert "Qwen/Qwen2.5-1.5B-Instruct at 989aa798 is not cached and cannot be downloaded" in line
    assert "set pretrained.weights to a folder" in line
