"""The command in a record makes the artifact again."""

import json
import os
import shutil
import subprocess
import sys
import time

from conftest import ENVIRONMENT, ROOT
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan


def test_the_recorded_command_can_be_pasted(tmp_path):
    config = next(
        iter(Plan(load_params(ROOT / "params.yaml", {"scale": "smoke"})).artifacts["problems"].values())
    ).config
    output = tmp_path / "it's $HOME; a folder"
    stage = ["-m", "selectimprove.stages.problems", "--config", config.model_dump_json(), "--output", output]
    here, began = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "workflow")}, time.time()
    subprocess.run(
        [sys.executable, *stage], env=here | {"OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": ""}, check=True
    )
    first = json.loads((output / "provenance.json").read_text())
    assert "OMP_NUM_THREADS=3" in first["command"]
    assert first["machine"]["threads"] == 3
    assert first["machine"]["cores"] == os.cpu_count()
    # In tenths of a second, with the imports; the system knows when a process began to a second.
    assert 0 < first["seconds"] == round(first["seconds"], 1) < time.time() - began + 1.5
    assert 30 < first["peak_memory_mib"] < 3000
    assert (first["resumed"], first["seed"]) == (False, config.seed)
    shutil.rmtree(output)
    others = {name: value for name, value in here.items() if name not in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
    subprocess.run(first["command"], shell=True, env=others, check=True)
    again = json.loads((output / "provenance.json").read_text())
    assert (again["files"], again["machine"], again["command"]) == (first["files"], first["machine"], first["command"])
    assert again["files"].keys() == {"config.json", "problems.parquet"}
    assert os.listdir(tmp_path) == [output.name]
