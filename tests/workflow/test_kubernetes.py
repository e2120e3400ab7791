"""The profile for Kubernetes, with a stand-in for `kubectl` that runs what a pod would run as a process on this machine."""

import re
import subprocess
import sys
import textwrap

import pytest
import yaml

from conftest import ENVIRONMENT, ROOT, Checkout
from forked import OPENED

PROFILE = "workflow/profiles/kubernetes"
KUBECTL = f"""\
#!{sys.executable}
import os, pathlib, shutil, subprocess, sys, uuid, yaml

jobs = pathlib.Path(os.environ["KUBECTL_JOBS"])
verb, *words = sys.argv[1:]
if verb == "create":
    manifest = yaml.safe_load(sys.stdin)
    job = jobs / (manifest["metadata"]["generateName"] + uuid.uuid4().hex[:5])
    job.mkdir()
    (job / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    image = os.environ["KUBECTL_IMAGE_FAILS"] or '"$@"'
    script = f'({{image}}) > {{job}}/log 2>&1; echo $? > {{job}}/code'
    subprocess.Popen(["sh", "-c", script, "pod", *container["command"]], stdout=subprocess.DEVNULL, start_new_session=True)
    print(job.name, end="")
elif verb == "get":
    if not (jobs / words[1]).exists():
        sys.exit(f'Error from server (NotFound): jobs.batch "{{words[1]}}" not found')
    code = jobs / words[1] / "code"
    if code.exists() and code.read_text():
        print("SuccessCriteriaMet Complete" if int(code.read_text()) == 0 else "FailureTarget Failed", end="")
elif verb == "delete":
    for name in words[1:]:
        shutil.rmtree(jobs / name, ignore_errors=True)
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """The folder where the stand-in keeps what it was asked for."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kubectl").write_text(textwrap.dedent(KUBECTL))
    (tmp_path / "bin/kubectl").chmod(0o755)
    (tmp_path / "jobs").mkdir()
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{tmp_path}/bin:{ENVIRONMENT['PATH']}")
    # A pod's job starts by itself.
    monkeypatch.delenv(OPENED, raising=False)
    monkeypatch.setitem(ENVIRONMENT, "KUBECTL_JOBS", str(tmp_path / "jobs"))
    monkeypatch.setitem(ENVIRONMENT, "KUBECTL_IMAGE_FAILS", "")
    return tmp_path / "jobs"


@pytest.fixture
def problems(fresh, tmp_path) -> tuple[Checkout, str]:
    """A repository and one of its problem sets, which nothing has made."""
    checkout = fresh.copy(tmp_path / "repository")
    planned = checkout.run("snakemake --dry-run figures").stdout
    return checkout, re.search(r"results/problems/\S+/provenance.json", planned)[0]


def run_on_kubernetes(checkout: Checkout, target: str, options: str = "") -> subprocess.CompletedProcess:
    often = "--max-status-checks-per-second 10 --seconds-between-status-checks 1 --latency-wait 5"
    return checkout.run(f"snakemake --workflow-profile {PROFILE} {often} {options} {target}", check=False)


def test_a_job_is_a_pod_with_what_params_ask_for(problems, jobs):
    checkout, target = problems
    done = run_on_kubernetes(checkout, target)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (checkout.folder / target).exists()
    (job,) = jobs.iterdir()
    assert job.name.startswith("generate-problems-")
    spec = yaml.safe_load((job / "manifest.yaml").read_text())["spec"]
    light = yaml.safe_load((ROOT / "params.yaml").read_text())["resources"]["light"]
    assert spec["activeDeadlineSeconds"] == light["minutes"] * 60
    resources = spec["template"]["spec"]["containers"][0]["resources"]
    # A cluster takes a GPU only if what is requested is also the limit.
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == str(light["gpus"])
    assert resources["requests"]["cpu"] == str(light["cores"])
    assert resources["limits"]["memory"] == f"{light['memory_gib'] * 1024}Mi"


@pytest.mark.parametrize("failure", ["exit 3", 'rm -r "$KUBECTL_JOBS"/*'])
def test_a_pod_that_fails_or_is_deleted_fails_its_job_and_a_second_call_completes(problems, jobs, monkeypatch, failure):
    checkout, target = problems
    monkeypatch.setitem(ENVIRONMENT, "KUBECTL_IMAGE_FAILS", failure)
    done = run_on_kubernetes(checkout, target, "--retries 0")
    assert done.returncode != 0
    assert "generate_problems" in done.stderr
    assert "external_jobid: generate-problems-" in done.stderr
    monkeypatch.setitem(ENVIRONMENT, "KUBECTL_IMAGE_FAILS", "")
    assert run_on_kubernetes(checkout, target).returncode == 0


def test_a_cluster_that_does_not_answer_has_ended_no_job(jobs, tmp_path):
    (tmp_path / "bin/kubectl").write_text("#!/bin/sh\necho 'Unable to connect to the server' >&2; exit 1\n")
    answer = subprocess.run([ROOT / PROFILE / "status", "a-job"], env=ENVIRONMENT, capture_output=True, text=True)
    assert answer.stdout.strip() == "running"
