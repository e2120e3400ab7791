"""Machines that are not as one would wish: homes, environments and folders."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ENVIRONMENT, Checkout
from selectimprove.dag.table import STAGES


@pytest.fixture
def checkout(fresh, tmp_path) -> Checkout:
    """A repository in a folder whose name holds what names seldom do, with an environment in which nothing is to be installed."""
    checkout = fresh.copy(tmp_path / "Élan vital")
    commands = checkout.folder / ".venv/bin"
    commands.mkdir(parents=True)
    for command in ("python", "snakemake"):
        (commands / command).symlink_to(Path(sys.executable).with_name(command))
    (checkout.folder / ".venv/train.done").touch()
    return checkout


def run(checkout: Checkout, *command: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "XDG_CACHE_HOME"} | variables
    return subprocess.run(command, cwd=checkout.folder, env=environment, capture_output=True, text=True)


def test_make_needs_no_home_that_can_be_written(checkout):
    (checkout.folder / "home").touch()
    name = next(
        word
        for word in checkout.run("snakemake --dry-run").stdout.replace(",", " ").split()
        if word.startswith("results/problems/test-gf11-2to5")
    )
    done = run(checkout, "make", "figures", f"ONLY={name}", HOME=str(checkout.folder / "home"))
    assert done.returncode == 0, done.stderr
    assert (checkout.folder / name).is_file()


def test_an_environment_without_pip_is_named(checkout):
    shutil.rmtree(checkout.folder / ".venv")
    checkout.run("python -m venv --without-pip .venv")
    done = run(checkout, "make", "setup")
    assert done.returncode
    assert done.stderr.splitlines()[0].startswith(".venv has no pip, or a Python before 3.11; remove it (rm -r .venv)")


def test_a_python_that_is_not_the_environments_is_refused_and_its_own_is_not(checkout):
    other = checkout.folder / "python-of-another-version"
    other.write_text("#!/bin/sh\necho '(3, 99)'\n")
    other.chmod(0o755)
    done = run(checkout, "make", "setup", f"PYTHON={other}")
    assert done.returncode
    assert ".venv has another Python than PYTHON=" in done.stderr
    assert run(checkout, "make", "setup", f"PYTHON={sys.executable}").returncode == 0


@pytest.fixture
def computes_nothing(checkout) -> dict[str, str]:
    """Variables with which Snakemake makes nothing but a note that it was asked."""
    stand_in = checkout.folder / "bin/snakemake"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\ntouch asked\n")
    stand_in.chmod(0o755)
    return {"PATH": f"{stand_in.parent}:{ENVIRONMENT['PATH']}"}


def test_jobs_find_what_the_users_own_pythonpath_leads_to(checkout, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nwith open({str(tmp_path / 'begun')!r}, 'a') as file:\n    print(sys.orig_argv, file=file)\n"
    )
    name = checkout.run("snakemake --dry-run").stdout.replace(",", " ").split()
    name = next(word for word in name if word.startswith("results/problems/test-gf11-2to5"))
    done = run(checkout, "snakemake", "--cores", "1", name, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "selectimprove.stages.problems" in (tmp_path / "begun").read_text()


def test_dvc_takes_a_run_that_leaves_stages_without_artifacts(checkout, computes_nothing):
    done = run(checkout, "dvc", "repro", **computes_nothing)
    assert done.returncode == 0, done.stderr
    assert (checkout.folder / "asked").exists()


def test_dvc_exp_run_deletes_no_artifact_and_stores_all_but_pretrained_models(checkout, computes_nothing):
    files = [checkout.folder / f"results/{stage}/x-0/provenance.json" for stage in STAGES]
    for name in ("first", "second"):
        for file in (*files, checkout.folder / f"results/rl/{name}-0/checkpoint"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
        done = run(checkout, "dvc", "exp", "run", "--set-param", f"rl.n_steps={len(name)}", **computes_nothing)
        assert done.returncode == 0, done.stderr
        assert {file.read_text() for file in files} == {name}
        assert (checkout.folder / "results/rl/first-0/checkpoint").exists()
    stored = yaml.safe_load((checkout.folder / "results/artifacts.dvc").read_text())["outs"]
    assert {out["path"] for out in stored} == {f"{stage}/x-0" for stage in STAGES if stage != "pretrained"}
    assert all("md5" in out for out in stored)


def test_dvc_exp_run_refuses_to_compute_in_a_folder_that_is_deleted(fresh, tmp_path):
    # DVC makes no such folder in one whose name is not ASCII.
    done = run(fresh.copy(tmp_path / "repository"), "dvc", "exp", "run", "--temp")
    assert done.returncode
    assert "compute in a folder that DVC deletes" in done.stderr


def test_dvc_refuses_linked_results_before_anything_is_computed(checkout, computes_nothing, tmp_path):
    (checkout.folder / "results").rename(tmp_path / "elsewhere")
    (checkout.folder / "results").symlink_to(tmp_path / "elsewhere")
    done = run(checkout, "dvc", "repro", **computes_nothing)
    assert done.returncode
    assert "results is a symbolic link" in done.stderr
    assert not (checkout.folder / "asked").exists()


def test_a_locale_that_is_not_utf_8_changes_no_name(fresh):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    listed = (
        "from selectimprove.commands.arguments import open_plan; print(*map(list, open_plan(None).artifacts.values()))"
    )
    source = {"PYTHONPATH": str(fresh.folder / "workflow")}
    here, there = (run(fresh, "python", "-c", listed, **source, **locale) for locale in ({}, ascii_only))
    assert here.stdout == there.stdout != ""
    for command in (["python", "-m", "selectimprove", "plan"], ["snakemake", "--dry-run", "figures"]):
        done = run(fresh, *command, **ascii_only)
        assert done.returncode == 0, done.stderr


def test_another_kernel_of_the_same_name_draws_nothing(changed, tmp_path):
    spec = tmp_path / "jupyter/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["false", "{connection_file}"], "display_name": "another", "language": "python"}')
    changed.edit("params.yaml", "window: 10", "window: 3")
    done = run(changed, "snakemake", "--cores", "1", "figure4", JUPYTER_PATH=str(tmp_path / "jupyter"))
    assert done.returncode == 0, done.stderr
