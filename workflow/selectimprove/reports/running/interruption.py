"""How a run ends that does not succeed: at once if it is interrupted, and saying what is kept or what went wrong."""

import atexit
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from selectimprove.reports.running.logs import read_tail

KEPT = "interrupted; what is complete is kept, and a training goes on from its last checkpoint: repeat the command"


def end_jobs_when_interrupted() -> None:
    """Have SIGINT and SIGTERM end the jobs on this machine, and with them Snakemake.

    Snakemake waits for its jobs. Those end at once only where a signal reaches them too, as Ctrl-C in a terminal does; but a `kill`, a
    scheduler or a service manager signals Snakemake alone, and kills it when it has waited for some seconds. Stages bear to be killed.
    """

    def interrupt(*_):
        threading.Thread(target=_end_jobs, daemon=True).start()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        # What a shell starts in the background may be deaf to Ctrl-C, and stays so.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def _end_jobs() -> None:
    """End all processes below this one, and those that are started yet, until this one ends."""
    for attempt in range(60):
        for process in psutil.Process().children(recursive=True):
            try:
                process.send_signal(signal.SIGTERM if attempt < 3 else signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        time.sleep(1)


def report_end(logs: Iterable[str], failed: Iterable[Path]) -> None:
    """Have the last lines on the terminal, after all that Snakemake says of how it ends, be those of `describe_end`.

    Parameters
    ----------
    logs : iterable of str
        Snakemake's own.
    failed : iterable of Path
        Of the jobs that failed.
    """
    said = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    # At once: what is registered first is run last.
    if lines := describe_end(said, failed):
        atexit.register(print, *lines, sep="\n", file=sys.stderr)


def describe_end(said: str, logs: Iterable[Path]) -> list[str]:
    """Say how to go on after an interruption, or else what each job that failed said last.

    Parameters
    ----------
    said : str
        What Snakemake logged.
    logs : iterable of Path
        Of the jobs that failed.

    Returns
    -------
    list of str
        Lines.
    """
    # Ctrl-C and SIGTERM; the latter on a cluster.
    if "Terminating processes on user request" in said or "Will exit after finishing currently running jobs" in said:
        return [KEPT]
    return [f"{log}: {line}" for log in logs if (line := _last_line(log))]


def _last_line(log: Path) -> str:
    """Return the last line of a log that says something; empty if there is none."""
    lines = read_tail(log).decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
