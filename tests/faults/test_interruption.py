"""Runs that are interrupted or killed, or that share results with another one: what is complete stays, and the next run goes on."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import ENVIRONMENT, Checkout

# The first job leaves a trace and waits; the others do not.
WAITS = """begun = Path("begun")
    if not begun.exists():
        begun.touch()
        while not Path("go").exists():
            time.sleep(0.05)
    if Path("fails").exists():
        raise RuntimeError
    task = load_aspect"""


@pytest.fixture
def waiting(fresh, tmp_path) -> Checkout:
    """A repository where the first set of problems is complete only when there is a file ``go``."""
    checkout = fresh.copy(tmp_path / "repository")
    checkout.edit("workflow/selectimprove/stages/problems.py", "from pathlib", "import time\nfrom pathlib")
    checkout.edit("workflow/selectimprove/stages/problems.py", "task = load_aspect", WAITS)
    return checkout


def problems(checkout: Checkout) -> list[str]:
    """Name two sets of test problems that are planned, as targets."""
    planned = checkout.run("snakemake --dry-run seeds").stdout.replace(",", " ").split()
    return sorted({word for word in planned if word.startswith("results/problems/test-gf11-6to9-s")})


def start(checkout: Checkout, *targets: str) -> subprocess.Popen:
    """Start Snakemake as a terminal does, and return when its first job waits."""
    with (checkout.folder / "said").open("w") as said:
        process = subprocess.Popen(
            ["snakemake", "--cores", "1", *targets],
            cwd=checkout.folder,
            env=ENVIRONMENT,
            start_new_session=True,
            # Tests that run in the background of a shell are deaf to Ctrl-C, and so would be what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    wait_for(checkout.folder / "begun")
    return process


def end_of(process: subprocess.Popen, checkout: Checkout) -> str:
    """Wait for the end of Snakemake, and return what it said."""
    process.wait(60)
    return (checkout.folder / "said").read_text()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def test_an_interrupted_run_says_how_to_go_on_and_a_failed_one_does_not(waiting):
    name = problems(waiting)[0]
    process = start(waiting, name)
    os.killpg(process.pid, signal.SIGINT)
    assert "\ninterrupted; repeat the command to go on\n" in end_of(process, waiting)
    (waiting.folder / "fails").touch()
    failed = waiting.run(f"snakemake --cores 1 {name}", check=False)
    assert failed.returncode
    assert "repeat the command" not in failed.stderr
    (waiting.folder / "fails").unlink()
    (waiting.folder / "begun").unlink()
    # SIGTERM lets the jobs that run end.
    process = start(waiting, name)
    process.terminate()
    (waiting.folder / "go").touch()
    assert "\ninterrupted; repeat the command to go on\n" in end_of(process, waiting)
    assert waiting.planned(target=name) == {}


def test_what_a_job_completes_after_snakemake_was_killed_is_kept(waiting):
    name = problems(waiting)[0]
    process = start(waiting, name)
    process.kill()
    process.wait()
    assert "--unlock" in waiting.run(f"snakemake --cores 1 {name}", check=False).stderr
    (waiting.folder / "go").touch()
    wait_for(waiting.folder / name)
    waiting.run("snakemake --unlock")
    assert "Nothing to be done" in waiting.run(f"snakemake --cores 1 {name}").stderr


def test_an_artifact_that_another_run_completes_meanwhile_is_kept(waiting):
    names = problems(waiting)
    process = start(waiting, *names)
    (later,) = (
        waiting.folder / name for name in names if not list(waiting.folder.glob(f"{Path(name).parent}.partial"))
    )
    waiting.run(f"snakemake --nolock --cores 1 {later.relative_to(waiting.folder)}")
    before = later.read_bytes()
    (waiting.folder / "go").touch()
    said = end_of(process, waiting)
    assert process.returncode == 0, said
    assert later.read_bytes() == before
