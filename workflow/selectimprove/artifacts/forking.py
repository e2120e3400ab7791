"""A server that forks stages from a process that has already imported torch, transformers and TRL.

Why: these imports take 6 to 9 core-seconds in each of hundreds of jobs, longer than most stages at the smoke scale.
Snakemake starts the server (`open_server`). A job sends it its command, folder, environment and streams, and waits for
the exit status (`hand_over`). The server imports a stage when it is first requested, and forks a process per job.

What it must never do:

- Fork after using CUDA, which cannot be forked: it runs no jobs with GPUs.
- Start a thread or compute with torch: a fork copies one thread. OpenBLAS and jemalloc stop and restart theirs.
- Run code that has been edited: a fork imports this package anew if a file of it has changed since the server started.
- Let its own environment count: a fork takes the job's. Only `allocation`, the variables that a process reads when it
  starts, is set in the server too; it drops variables that change numbers.
- Outlive the process that opened it, or let a fork outlive its job: a closed pipe or connection ends them.

Without a server, a job runs by itself with the same result: by hand, on a cluster, on systems other than Linux, or with
``SELECTIMPROVE_SERVER=0`` in the environment, which turns the server off.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path

from selectimprove.artifacts.arithmetic import clean_environment

SERVER = "SELECTIMPROVE_SERVER"
"""The environment variable with the server's socket and modules as JSON; 0 turns the server off."""
LONGEST = 2**20
"""Most bytes of a request; a socket takes less."""
PACKAGE = Path(__file__).parents[1]
ENDED_BY = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
"""Signals that end the server and its jobs, unless whoever started it ignores them, as ``nohup`` does."""


def open_server(modules: Iterable[str], allocation: dict[str, str]) -> None:
    """Start a server for jobs of this process that run some modules, unless it already has one."""
    if sys.platform != "linux" or SERVER in os.environ:
        return
    folder = tempfile.mkdtemp(prefix="selectimprove-")
    address = f"{folder}/socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(address)
        except OSError:
            # The path is too long: sockets allow some hundred characters.
            shutil.rmtree(folder)
            return
        listener.listen(128)
        # Nothing is written to the pipe; it closes when this process ends.
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(listener.fileno()), folder],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | allocation,
        )
    os.environ[SERVER] = json.dumps([address, *modules])


def hand_over() -> None:
    """Have a server, if there is one, run this process's command, and exit with its status; otherwise return."""
    given = os.environ.pop(SERVER, "0")
    if given == "0":
        return
    address, *modules = json.loads(given)
    if _module(sys.orig_argv) not in modules:
        return
    request = {"command": sys.orig_argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.connect(address)
            socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        except OSError:
            return
        answer = connection.recv(16)
    if not answer:
        sys.exit("the process that this stage was forked from has ended; repeat the command")
    status = int(answer)
    # A shell reports death by a signal as 128 plus its number.
    os._exit(status if status >= 0 else 128 - status)


def _module(command: list[str]) -> str:
    return command[command.index("-m") + 1]


def serve(listener: socket.socket) -> None:
    """Fork a process for each request, until stdin is closed and all forked processes have ended."""
    for number in ENDED_BY:
        signal.signal(number, lambda *_: sys.exit())
    jobs, sources, files = {}, [listener, sys.stdin], package_files()
    while sources or jobs:
        for ready in wait([*sources, *jobs]):
            if ready is sys.stdin:
                sources = []
            elif ready is listener:
                connection = listener.accept()[0]
                request, streams, _, _ = socket.recv_fds(connection, LONGEST, 3)
                if not request:
                    # The job was killed before it asked.
                    connection.close()
                    continue
                told = json.loads(request)
                import_ahead(_module(told["command"]))
                # The fork closes the other jobs' connections, or those jobs would wait for it too.
                others = [listener, *(other for _, other in jobs.values())]
                job = (told, streams, connection, others, files)
                process = get_context("fork").Process(target=_run, args=job)
                process.start()
                jobs[process.sentinel] = process, connection
                for stream in streams:
                    os.close(stream)
            else:
                process, connection = jobs.pop(ready)
                process.join()
                with connection, contextlib.suppress(OSError):
                    connection.send(str(process.exitcode).encode())


@cache
def import_ahead(module: str) -> None:
    """Import everything that a module imports; the job itself runs the module."""
    # If the module cannot be imported, the job's own log says so.
    with contextlib.suppress(Exception):
        importlib.import_module(module)
    sys.modules.pop(module, None)
    # Without garbage collection, forks keep sharing this memory.
    gc.freeze()


def package_files() -> dict[Path, tuple[int, int]]:
    """Return the time and size of each source file of this package."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in PACKAGE.rglob("[!.]*.py")}


def forget() -> None:
    """Make Python import all modules of this package anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "selectimprove"]:
        del sys.modules[name]


def _run(told: dict, streams: list[int], connection: socket.socket, others: list[socket.socket], files: dict) -> None:
    """Run a job's command in this forked process."""
    for other in others:
        other.close()
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    # Python's stdout and stderr were set up for the server's streams; the job's may be of another kind.
    for number, name in ((1, "stdout"), (2, "stderr")):
        former, raw = getattr(sys, name), io.FileIO(number, "w", closefd=False)
        by_line = name == "stderr" or raw.isatty()
        setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), former.encoding, former.errors, None, by_line))
    # When the job is killed, its end of the connection closes, and SIGIO ends this process.
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)
    with contextlib.suppress(BlockingIOError):
        if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            return
    for number in ENDED_BY:
        signal.signal(number, signal.SIG_DFL)
    os.chdir(told["folder"])
    # ``python -m`` puts the working directory there.
    sys.path[0] = told["folder"]
    # Another PYTHONPATH may lead to another checkout.
    own, path = os.environ.get("PYTHONPATH", ""), told["environment"].get("PYTHONPATH", "")
    if path != own:
        others = [folder for folder in sys.path[1:] if folder not in own.split(os.pathsep)]
        sys.path[1:] = [*filter(None, path.split(os.pathsep)), *others]
    if path != own or package_files() != files:
        forget()
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.orig_argv = told["command"]
    module = _module(sys.orig_argv)
    sys.argv = sys.orig_argv[sys.orig_argv.index(module) :]
    # The server's exit functions are not the job's, and Python before 3.13 runs none in a forked process.
    atexit._clear()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()


if __name__ == "__main__":
    clean_environment()
    gc.disable()
    number, folder = sys.argv[1:]
    try:
        serve(socket.socket(fileno=int(number)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # A normal exit would take seconds to tear down all imported modules.
        os._exit(0)
