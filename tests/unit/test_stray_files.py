"""What editors and desktops leave in folders disturbs nothing, and is not read: only what is used is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from selectimprove.artifacts.provenance import RECORD, folder_hashes
from selectimprove.dag.rules import TEMPLATES
from selectimprove.stages.evaluation import checkpoints_of

LOOK = """
import json
from pathlib import Path
from selectimprove.artifacts.forking import package_files
from selectimprove.config.loading import known_scales, load_params
from selectimprove.dag.plan import Plan
from selectimprove.dag.rules import audit_publication
from selectimprove.tasks.interface import task_names
plan = Plan(load_params(Path("params.yaml")))
print(json.dumps([audit_publication(plan).key, known_scales(), task_names(), bool(package_files())]))
"""


def litter(folder: Path, name: str) -> None:
    """Leave what Jupyter, Emacs and macOS leave beside a file."""
    checkpoints = folder / ".ipynb_checkpoints"
    checkpoints.mkdir()
    (checkpoints / name).write_text("{")
    (folder / ".DS_Store").write_bytes(b"\0")
    os.symlink("somebody@somewhere.4711", folder / f".#{name}")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the tracked files."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("params.yaml", "workflow"):
        source, target = ROOT / name, folder / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    return folder


def test_a_plan_takes_no_notice_of_stray_files(checkout):
    def look() -> list:
        environment = os.environ | {"PYTHONPATH": str(checkout / "workflow")}
        done = subprocess.run(
            [sys.executable, "-c", LOOK], cwd=checkout, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    before = look()
    for folder, name in (
        ("page", "page.css"),
        ("cards", "model.md.jinja"),
        ("notebooks", "table1.ipynb"),
        ("scales", "smoke.yaml"),
        ("selectimprove/tasks", "chains.py"),
        ("selectimprove/tasks/chains", "labels.py"),
    ):
        litter(checkout / "workflow" / folder, name)
    assert look() == before


def test_the_page_consists_of_its_templates():
    assert sorted(TEMPLATES) == sorted(path for path in TEMPLATES[0].parent.glob("[!.]*") if path.is_file())


def test_an_artifact_is_what_its_stage_wrote(tmp_path):
    for name in ("checkpoints/step-0040/model.safetensors", "rollouts.parquet", RECORD):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    before = folder_hashes(tmp_path)
    assert sorted(before) == ["checkpoints/step-0040/model.safetensors", "rollouts.parquet"]
    litter(tmp_path, "rollouts.parquet")
    litter(tmp_path / "checkpoints", "step-0040")
    assert folder_hashes(tmp_path) == before
    assert checkpoints_of(tmp_path, "all") == {40: tmp_path / "checkpoints/step-0040"}


def test_a_clone_has_the_line_ends_of_the_repository_whatever_git_is_told(tmp_path):
    git = ["git", "-c", "core.autocrlf=true", "-c", "safe.directory=*"]
    tracked = ["Makefile", "workflow/rules/common.smk", "params.yaml", ".gitattributes"]
    for name in tracked:
        (tmp_path / "origin" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / "origin" / name)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "All"]):
        subprocess.run([*git, *command], cwd=tmp_path / "origin", check=True)
    subprocess.run([*git, "clone", "-q", "origin", "clone"], cwd=tmp_path, check=True)
    for name in tracked:
        assert (tmp_path / "clone" / name).read_bytes() == (ROOT / name).read_bytes()
