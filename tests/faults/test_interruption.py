"""Runs that are interrupted or killed, or that share results with another one: what is complete stays, and the next run goes on."""

import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from conftest import Checkout, runs
from scene import children, start

# The first job leaves a trace and waits; the others do not.
WAITS = """begun = Path("begun")
    if not begun.exists():
        begun.touch()
        while not Path("go").exists():
            time.sleep(0.05)
    if Path("fails").exists():
        raise RuntimeError
    task = load_task"""


@pytest.fixture
def waiting(fresh, tmp_path) -> Checkout:
    """A repository where the first set of problems is complete only when there is a file ``go``."""
    checkout = fresh.copy(tmp_path / "repository")
    checkout.edit("workflow/selectimprove/stages/problems.py", "from pathlib", "import time\nfrom pathlib")
    checkout.edit("workflow/selectimprove/stages/problems.py", "task = load_task", WAITS)
    return checkout


def problems(checkout: Checkout) -> list[str]:
    """Name two sets of test problems that are planned, as targets."""
    planned = checkout.run("snakemake --dry-run seeds").stdout.replace(",", " ").split()
    return sorted({word for word in planned if word.startswith("results/problems/test-gf11-6to9-s")})


def begin(checkout: Checkout, *targets: str) -> subprocess.Popen:
    """Start Snakemake, and return when its first job waits."""
    process = start(checkout.folder, "snakemake", "--cores", "1", *targets)
    wait_for(checkout.folder / "begun")
    return process


def end_of(process: subprocess.Popen, checkout: Checkout) -> str:
    """Wait for the end of Snakemake, and return what it said."""
    process.wait(180)
    return (checkout.folder / "said").read_text()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 180
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


INTERRUPTED = (
    "\ninterrupted; what is complete is kept, and a training goes on from its last checkpoint: repeat the command\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_snakemake_alone_ends_its_job_too_at_once(waiting, number):
    name = problems(waiting)[0]
    process = begin(waiting, name)
    jobs = children(process)
    process.send_signal(number)
    process.wait(60)
    said = end_of(process, waiting)
    assert said.endswith(INTERRUPTED)
    assert not re.search("RuleException|Error|never awaited|Traceback", said), said
    assert not any(map(runs, psutil.wait_procs(jobs, timeout=1)[1]))
    (waiting.folder / "go").touch()
    waiting.run(f"snakemake --cores 1 {name}")


def test_a_run_that_failed_is_not_called_interrupted_and_says_what_its_job_said_last(waiting):
    name = problems(waiting)[0]
    for file in ("begun", "fails"):
        (waiting.folder / file).touch()
    failed = waiting.run(f"snakemake --cores 1 {name}", check=False)
    assert failed.returncode
    assert "interrupted" not in failed.stderr
    log = Path(name).parent.name + ".log"
    assert f"\nresults/logs/problems/{log}: RuntimeError" in failed.stderr


def test_what_a_job_completes_after_snakemake_was_killed_is_kept(waiting):
    name = problems(waiting)[0]
    process = begin(waiting, name)
    process.kill()
    process.wait()
    assert "--unlock" in waiting.run(f"snakemake --cores 1 {name}", check=False).stderr
    (waiting.folder / "go").touch()
    wait_for(waiting.folder / name)
    waiting.run("snakemake --unlock")
    assert "Nothing to be done" in waiting.run(f"snakemake --cores 1 {name}").stderr


def test_an_artifact_that_another_run_completes_meanwhile_is_kept(waiting):
    names = problems(waiting)
    process = begin(waiting, *names)
    (later,) = (
        waiting.folder / name for name in names if not list(waiting.folder.glob(f"{Path(name).parent}.partial"))
    )
    waiting.run(f"snakemake --nolock --cores 1 {later.relative_to(waiting.folder)}")
    before = later.read_bytes()
    (waiting.folder / "go").touch()
    said = end_of(process, waiting)
    assert process.returncode == 0, said
    assert later.read_bytes() == before
