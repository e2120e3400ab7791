"""Time two things in turn: whatever else the machine does weighs on both, so the ratio is what to look at."""

import contextlib
import io
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

PAIRS = 3


def seconds(run: Callable[[], object]) -> float:
    """Time a call, without what it prints."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run()
    return time.perf_counter() - start


def compare(what: str, ours: Callable[[], object], base: str, least: Callable[[], object], scale: float = 1.0) -> dict:
    """Run two things in turn, and return a row with their times and ratio.

    Parameters
    ----------
    what, base : str
        What is measured, and against what.
    ours, least : callable
    scale : float
        How much more `ours` does; ratios are divided by it.
    """
    pairs = [(seconds(ours), seconds(least)) for _ in range(PAIRS)]
    ratios = [mine / other / scale for mine, other in pairs]
    mine, other = (median(times) for times in zip(*pairs, strict=True))
    return {
        "what": what,
        "against": base,
        "ratio": median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "seconds": mine,
        "seconds_against": other,
    }


def run(*command: str) -> Callable[[], object]:
    """Return a call that runs a command, and ends with what that says if it fails."""

    def call() -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{shlex.join(command)}\n{done.stderr}")

    return call


def python(code: str) -> Callable[[], object]:
    """Return a call that runs Python code in a process of its own."""
    return run(sys.executable, "-c", code)
