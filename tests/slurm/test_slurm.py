"""The DAG on a real Slurm of two nodes, through the workflow profile: `make test-slurm`."""

import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, is_installed

from conftest import ENVIRONMENT, ROOT, Checkout
from forked import OPENED
from selectimprove.artifacts.provenance import RECORD, folder_hashes
from selectimprove.config.loading import load_params
from selectimprove.dag.table import STAGES

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="Slurm and munge are not installed, are in use, or this is not root"
)

PROFILE = "workflow/profiles/slurm"
# A queue that is asked more often than one of a site should be.
OFTEN = "--slurm-init-seconds-before-status-checks 3 --latency-wait 10 --jobs 4"
# Of the rules that the DAG must have sent to Slurm, those that get a GPU.
ON_GPU = {"pretrain_base": True, "train_sft": True, "train_grpo": True, "evaluate_model": False}
ON_GPU |= dict.fromkeys(("label_strategies", "draw_exhibit"), False)
RESOURCES = load_params(ROOT / "params.yaml").resources


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as context:
        context.setitem(ENVIRONMENT, "PATH", f"{ENVIRONMENT['PATH']}:/usr/sbin")
        # A job of a cluster starts by itself.
        context.delenv(OPENED, raising=False)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def edit_as_a_site(checkout: Checkout) -> None:
    """Edit the profile as its comments say, for a cluster without accounting."""
    profile = checkout.folder / PROFILE / "config.yaml"
    text = re.sub(r"^  slurm_account: .*\n", "", profile.read_text(), flags=re.M)
    text = text.replace("slurm_partition: gpu ", "slurm_partition: debug ")
    for line in ("slurm-no-account: true", "slurm-status-command: squeue", "set-resources:"):
        text = text.replace(f"# {line}", line)
    text = text.replace("#   train_grpo: {gpu_model: a100}", "  train_grpo: {gpu_model: fake}")
    profile.write_text(text)


@pytest.fixture
def checkout(fresh, cluster, tmp_path) -> Checkout:
    """A repository that asks for Figure 2 of one SFT mix at the smoke scale."""
    return ask_for_little(fresh.copy(tmp_path / "repository"))


def ask_for_little(checkout: Checkout, **changes) -> Checkout:
    """Have a repository ask for Figure 2 of one SFT mix at the smoke scale, with changes of its sections."""
    params = yaml.safe_load((checkout.folder / "params.yaml").read_text())
    overlay = yaml.safe_load((checkout.folder / "workflow/scales/smoke.yaml").read_text())
    params["experiments"] = {"main": {"sft_mixes": ["FB"], "rl_problems": ["rl_6_9"]}}
    params |= {"tables": {}, "figures": {"figure2": params["figures"]["figure2"]}}
    for section in ("experiments", "figures", "tables"):
        del overlay[section]
    (checkout.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for section, values in changes.items():
        overlay[section] = overlay[section] | values if isinstance(values, dict) else values
    (checkout.folder / "workflow/scales/smoke.yaml").write_text(yaml.safe_dump(overlay))
    edit_as_a_site(checkout)
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
    gpu = "--config 'resources={train: {gpus: 1}}'"
    return checkout.run(f"snakemake --workflow-profile {PROFILE} {OFTEN} figures {gpu}", check=False)


def drawn(checkout: Checkout) -> list:
    return list((checkout.folder / "results").glob("exhibits/*/provenance.json"))


def test_the_dag_runs_through_the_profile_and_a_second_call_does_nothing(checkout, cluster):
    with Watch(cluster) as watch:
        done = run_on_slurm(checkout)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(drawn(checkout)) == 1
    for rule, on_gpu in ON_GPU.items():
        job = next(job for job in watch.jobs.values() if rule in job.get("Comment", ""))
        # What params.yaml asks for is what Slurm was asked for.
        asked = next(stage for stage in STAGES.values() if stage.rule == rule).resources(RESOURCES)
        assert job["TimeLimit"] == f"{asked.minutes // 60:02}:{asked.minutes % 60:02}:00"
        assert (job["MinMemoryNode"], job["NumCPUs"]) == (f"{asked.memory_gib:g}G", str(asked.cores))
        assert job["NumNodes"] == "1"
        gpu = "gres:gpu:fake:1" if rule == "train_grpo" else "gres:gpu:1"
        assert job.get("TresPerJob") == (gpu if on_gpu else None)
    # Without a word of resources: they are in no key.
    assert "Nothing to be done" in checkout.run("snakemake --dry-run figures").stdout


def test_a_cancelled_job_is_reported_and_a_second_call_completes(checkout, cluster):
    with Watch(cluster, cancel="pretrain_base") as watch:
        done = checkout.run(f"snakemake --workflow-profile {PROFILE} {OFTEN} --retries 0 figures", check=False)
    assert watch.cancelled
    assert done.returncode != 0
    assert "pretrain_base" in done.stderr
    assert watch.cancelled in done.stderr
    assert not drawn(checkout)
    done = run_on_slurm(checkout)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(drawn(checkout)) == 1


def finished_checkpoints(training: Path) -> list[Path]:
    return [mark.parent for mark in training.glob("trainer/checkpoint-*/finished-*")]


def trained_models(checkout: Checkout) -> list[Path]:
    return [record.parent for record in checkout.folder.glob(f"results/rl/*/{RECORD}")]


def half_trained(checkout: Checkout) -> Path | None:
    """Return the folder of a run of RL that has two checkpoints, but is not at its end; None if there is none."""
    folders = (checkout.folder / "results/rl").glob("*.partial")
    return next((folder for folder in folders if len(finished_checkpoints(folder)) >= 2), None)


def test_a_training_whose_node_is_lost_goes_on_on_the_other_one(fresh, cluster, tmp_path):
    changes = {"seeds": [110, 111], "rl": {"n_steps": 80, "checkpoint_every": 4}}
    lost, undisturbed = (ask_for_little(fresh.copy(tmp_path / name), **changes) for name in ("lost", "undisturbed"))
    with ThreadPoolExecutor(1) as pool, Watch(cluster) as watch:
        running = pool.submit(run_on_slurm, lost)
        while not (partial := half_trained(lost)) and not running.done():
            time.sleep(0.2)
        job = next(job for job in watch.jobs.values() if partial.stem in job["Comment"])
        cluster.kill_node(job["NodeList"])
        killed = time.time()
        done = running.result()
    cluster.start_node(job["NodeList"])
    assert done.returncode == 0, done.stderr[-4000:]
    trained = partial.with_suffix("")
    # It went on from a checkpoint of the node that was lost.
    first, *_, last = (path.stat().st_mtime for path in sorted(trained.glob("checkpoints/*/model.safetensors")))
    assert first < killed < last
    (beside,) = set(trained_models(lost)) - {trained}
    assert killed < (beside / RECORD).stat().st_mtime < (trained / RECORD).stat().st_mtime
    assert run_on_slurm(undisturbed).returncode == 0
    after, expected = (
        {path.name: folder_hashes(path) for path in trained_models(checkout)} for checkout in (lost, undisturbed)
    )
    assert after == expected
