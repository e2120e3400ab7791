"""Jobs that take GPUs: each sees its own, though Snakemake only counts them. The driver's list is a stand-in: no GPU is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ENVIRONMENT, ROOT
from selectimprove.config.loading import load_params
from selectimprove.dag.artifact import needs_of, stage_command
from selectimprove.dag.plan import Plan


@pytest.fixture
def machine(tmp_path) -> dict[str, str]:
    """The environment of a machine with two GPUs, where nobody has taken one."""
    driver = tmp_path / "bin/nvidia-smi"
    driver.parent.mkdir()
    driver.write_text("#!/bin/sh\nprintf '0, GPU-a\\n1, GPU-b\\n'\n")
    driver.chmod(0o755)
    rest = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("CUDA_")}
    return rest | {"PATH": f"{driver.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}


def start(machine: dict[str, str], n: int, code: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "selectimprove.artifacts.gpus", str(n), sys.executable, "-c", code]
    return subprocess.Popen(
        command, env=machine, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


SAY = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True); input()"
"""A job that lasts until it is told to end."""


def test_jobs_that_run_together_have_a_gpu_each_and_the_next_waits_for_one(machine):
    jobs = [start(machine, 1, SAY) for _ in range(2)]
    assert sorted(job.stdout.readline().strip() for job in jobs) == ["0", "1"]
    third = start(machine, 1, SAY)
    assert third.stderr.readline().strip() == "waiting for 1 of the GPUs 0, 1, which other jobs have"
    jobs[1].kill()
    jobs[1].wait()
    freed = third.stdout.readline().strip()
    jobs[0].communicate("\n")
    third.communicate("\n")
    assert freed in ("0", "1")
    assert third.returncode == 0


def test_a_job_of_two_gpus_waits_for_both_and_keeps_none_meanwhile(machine):
    first = start(machine, 1, SAY)
    taken = first.stdout.readline().strip()
    both = start(machine, 2, SAY)
    both.stderr.readline()
    other = start(machine, 1, SAY)
    assert other.stdout.readline().strip() == str(1 - int(taken))
    other.communicate("\n")
    first.communicate("\n")
    assert both.stdout.readline().strip() == "0,1"
    both.communicate("\n")


def test_what_a_scheduler_hides_stays_hidden(machine):
    job = start(machine | {"CUDA_VISIBLE_DEVICES": "1"}, 1, SAY)
    assert job.stdout.readline().strip() == "1"
    # The same one by another name.
    waiting = start(machine | {"CUDA_VISIBLE_DEVICES": "GPU-b"}, 1, SAY)
    assert "waiting" in waiting.stderr.readline()
    job.communicate("\n")
    assert waiting.stdout.readline().strip() == "GPU-b"
    waiting.communicate("\n")


def test_a_part_of_a_gpu_has_its_own_name(machine):
    job = start(machine | {"CUDA_VISIBLE_DEVICES": "MIG-GPU-a/1/0"}, 1, SAY)
    assert job.communicate("\n")[0].strip() == "MIG-GPU-a/1/0"


def test_a_job_that_asks_for_more_than_there_are_is_refused(machine):
    _, said = start(machine, 3, SAY).communicate()
    assert said == "params.yaml: resources: a job takes 3 GPUs, but only 2 are visible; ask for fewer\n"


def test_where_no_driver_tells_a_job_runs_as_it_is(machine):
    Path(machine["PATH"].split(":")[0], "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    job = start(machine, 1, SAY)
    assert job.stdout.readline().strip() == "None"
    job.communicate("\n")


def test_stages_in_one_process_take_one_gpu_and_those_that_spread_a_process_for_each():
    plan = Plan(load_params(ROOT / "params.yaml", {"resources": {"train": {"gpus": 2}}}))
    took = {}
    for stage in ("base", "rft", "sft", "rl", "labels"):
        artifact = next(iter(plan.artifacts[stage].values()))
        words = stage_command(artifact, artifact.folder, plan.params.resources, "python")
        own = words[2:4] == ["selectimprove.artifacts.gpus", "2" if stage in ("sft", "rl") else "1"]
        took[stage] = needs_of(artifact, plan.params.resources)["gpu"], own, "--num_processes" in words
    one, two = (1, True, False), (2, True, True)
    assert took == {"base": one, "rft": one, "sft": two, "rl": two, "labels": (0, False, False)}
