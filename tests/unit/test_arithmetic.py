"""All processors calculate alike, so that another machine makes the same models, unless the params say otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selectimprove.artifacts.arithmetic import clean_environment, processor_info
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import collect_ancestors
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES

SHOW = "import os; import selectimprove.artifacts.provenance as provenance, torch; print(torch.backends.cpu.get_cpu_capability(), provenance.vector_instructions(), os.environ['MKL_CBWR'])"


def show_capability(**environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("ATEN_CPU_CAPABILITY", "MKL_CBWR")}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=kept | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif("avx2" not in processor_info("flags").split(), reason="this processor has no AVX2")
def test_torch_calculates_with_avx2_and_the_record_says_so():
    assert show_capability() == ["AVX2", "avx2", "COMPATIBLE"]


def test_what_the_environment_says_goes_first():
    assert show_capability(ATEN_CPU_CAPABILITY="default", MKL_CBWR="AVX2") == ["DEFAULT", "default", "AVX2"]


def planned(arithmetic: str) -> dict[str, set[str]]:
    """Name what the experiment `main` needs, by stage."""
    params = load_params(Path(__file__).parents[2] / "params.yaml", {"arithmetic": arithmetic, "scale": "smoke"})
    plan = Plan(params)
    needed = collect_ancestors([plan.all_exhibits["figure2"]])
    return {stage: {artifact.name for artifact in needed if artifact.stage == stage} for stage in STAGES}


def test_what_is_computed_otherwise_has_keys_of_its_own():
    portable, fast = planned("portable"), planned("fast")
    assert portable["problems"] == fast["problems"]
    assert portable["demonstrations"] == fast["demonstrations"]
    for stage in ("base", "sft", "rl", "evaluation", "labels", "measures"):
        assert len(portable[stage]) == len(fast[stage]) > 0
        assert not portable[stage] & fast[stage]


@pytest.mark.parametrize(("arithmetic", "expected"), [("portable", "COMPATIBLE"), ("fast", "AUTO")])
def test_a_job_calculates_as_its_key_says_whatever_the_environment_says(tmp_path, arithmetic, expected):
    params = load_params(Path(__file__).parents[2] / "params.yaml", {"arithmetic": arithmetic, "scale": "smoke"})
    base = next(artifact for artifact in Plan(params).artifacts["base"].values() if not artifact.inputs)
    config = base.config.model_dump(mode="json")
    config["base"] |= {"n_steps": 2, "warmup_steps": 1}
    words = [sys.executable, "-m", "selectimprove.stages.base", "--config", json.dumps(config), "--output", "made"]
    subprocess.run(words, cwd=tmp_path, env=os.environ | {"MKL_CBWR": "AVX2"}, check=True, capture_output=True)
    assert json.loads((tmp_path / "made/provenance.json").read_text())["machine"]["mkl_cbwr"] == expected
    assert json.loads((tmp_path / "made/config.json").read_text()).get("arithmetic") == (
        None if arithmetic == "portable" else "fast"
    )


HOSTILE = {
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "2",
    "ACCELERATE_DYNAMO_BACKEND": "EAGER",
    "ATEN_CPU_CAPABILITY": "default",
    "CUBLAS_WORKSPACE_CONFIG": ":16:8",
    "MKL_CBWR": "SSE2",
    "MKL_NUM_THREADS": "2",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    "NVIDIA_TF32_OVERRIDE": "1",
    "OMP_NUM_THREADS": "2",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "PYTHONHASHSEED": "5",
    "RANK": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TORCH_CPU_CAPABILITY": "default",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "USE_HUB_KERNELS": "1",
    "WORLD_SIZE": "2",
}
"""Variables that libraries read, with values that change numbers, or how many processes compute."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, dict[str, str]]:
    """The hashes of a base model that was trained for some steps, in a clean environment and in one full of variables."""
    params = load_params(Path(__file__).parents[2] / "params.yaml", {"scale": "smoke"})
    base = next(artifact for artifact in Plan(params).artifacts["base"].values() if not artifact.inputs)
    config = base.config.model_dump(mode="json")
    config["base"] |= {"n_steps": 3, "warmup_steps": 1}
    words = [sys.executable, "-m", "selectimprove.stages.base", "--config", json.dumps(config), "--output", "made"]
    found = {}
    for name, variables in {"clean": {}, "hostile": HOSTILE}.items():
        folder = tmp_path_factory.mktemp(name)
        environment = {name: value for name, value in os.environ.items() if name not in HOSTILE}
        subprocess.run(words, cwd=folder, env=environment | variables, check=True, capture_output=True)
        found[name] = json.loads((folder / "made/provenance.json").read_text())
    return found


def test_what_the_environment_holds_changes_no_bit_of_a_model(trained):
    assert trained["clean"]["files"] == trained["hostile"]["files"]
    assert "model/model.safetensors" in trained["clean"]["files"]


def test_what_stays_in_the_environment_is_recorded(trained):
    assert "OMP_NUM_THREADS=2" in trained["hostile"]["command"]
    assert "PYTHONHASHSEED=5" in trained["hostile"]["command"]
    assert trained["hostile"]["machine"]["mkl_cbwr"] == "COMPATIBLE"


def test_processes_that_accelerate_launched_keep_what_it_told_them(monkeypatch):
    launched = {"TORCHELASTIC_RUN_ID": "none", "ACCELERATE_MIXED_PRECISION": "bf16", "RANK": "0", "WORLD_SIZE": "2"}
    with monkeypatch.context() as context:
        for name, value in (launched | {"NVIDIA_TF32_OVERRIDE": "1"}).items():
            context.setenv(name, value)
        clean_environment()
        assert {name: os.environ.get(name) for name in launched} == launched
        assert "NVIDIA_TF32_OVERRIDE" not in os.environ
