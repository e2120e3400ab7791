"""The DAG on a real Slurm, through the workflow profile: `make test-slurm`."""

import re
import subprocess
import threading
import time

import pytest
import yaml
from cluster import Cluster, is_installed

from conftest import ENVIRONMENT, Checkout

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="Slurm and munge are not installed, are in use, or this is not root"
)

PROFILE = "workflow/profiles/slurm"
# What a site edits, and a queue that is asked more often than one of a site should be.
SITE = (
    "--default-resources slurm_partition=debug --slurm-no-account --slurm-status-command squeue "
    "--slurm-init-seconds-before-status-checks 3 --latency-wait 10 --jobs 4"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def checkout(fresh, cluster, tmp_path, monkeypatch) -> Checkout:
    """A repository that asks for Figure 2 of one SFT mix at the smoke scale."""
    checkout = fresh.copy(tmp_path / "repository")
    params = yaml.safe_load((checkout.folder / "params.yaml").read_text())
    overlay = yaml.safe_load((checkout.folder / "workflow/scales/smoke.yaml").read_text())
    params["experiments"] = {"main": {"sft_mixes": ["FB"], "rl_problems": ["rl_6_9"]}}
    params |= {"compositions": {}, "tables": {}, "figures": {"figure2": params["figures"]["figure2"]}}
    for section in ("experiments", "compositions", "figures"):
        del overlay[section]
    (checkout.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (checkout.folder / "workflow/scales/smoke.yaml").write_text(yaml.safe_dump(overlay))
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{ENVIRONMENT['PATH']}:/usr/sbin")
    return checkout


class Watch(threading.Thread):
    """Asks for each job that Slurm has, while Snakemake runs, and may cancel one of a rule.

    Parameters
    ----------
    cluster : Cluster
    cancel : str, optional
        The rule of which the first running job is cancelled.
    """

    def __init__(self, cluster: Cluster, cancel: str | None = None):
        super().__init__(daemon=True)
        self.cluster, self.cancel = cluster, cancel
        self.jobs: dict[str, dict[str, str]] = {}
        self.cancelled: str | None = None
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            for job in self.cluster.run("squeue --noheader --format %i").split():
                shown = self.cluster.run(f"scontrol show job {job}")
                self.jobs[job] = dict(re.findall(r"(\w+)=(\S+)", shown))
                is_wanted = self.cancel and self.cancel in self.jobs[job].get("Comment", "")
                if is_wanted and not self.cancelled and self.jobs[job]["JobState"] == "RUNNING":
                    # Until it has done something worth keeping.
                    time.sleep(8)
                    self.cluster.run(f"scancel {job}")
                    self.cancelled = job
            time.sleep(0.3)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def run_on_slurm(checkout: Checkout) -> subprocess.CompletedProcess:
    return checkout.run(f"snakemake --workflow-profile {PROFILE} {SITE} figures", check=False)


def drawn(checkout: Checkout) -> list:
    return list((checkout.folder / "results").glob("exhibits/*/provenance.json"))


def test_the_dag_runs_through_the_profile_and_a_second_call_does_nothing(checkout, cluster):
    with Watch(cluster) as watch:
        done = run_on_slurm(checkout)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(drawn(checkout)) == 1
    trained = [job for job in watch.jobs.values() if "train_grpo" in job.get("Comment", "")]
    assert len(trained) == 1
    # What params.yaml asks for is what Slurm was asked for.
    assert trained[0]["TimeLimit"] == "02:00:00"
    assert trained[0]["MinMemoryNode"] == "3G"
    assert trained[0]["NumCPUs"] == "1"
    assert "Nothing to be done" in checkout.run("snakemake --dry-run figures").stdout


def test_a_cancelled_job_is_reported_and_a_second_call_completes(checkout, cluster):
    with Watch(cluster, cancel="pretrain_base") as watch:
        done = checkout.run(f"snakemake --workflow-profile {PROFILE} {SITE} --retries 0 figures", check=False)
    assert watch.cancelled
    assert done.returncode != 0
    assert "pretrain_base" in done.stderr
    assert watch.cancelled in done.stderr
    assert not drawn(checkout)
    done = run_on_slurm(checkout)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(drawn(checkout)) == 1
