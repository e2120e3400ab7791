"""Stages that start at once: forked from a process that has imported what they import.

Imports of torch, transformers and TRL take longer than most stages at the smoke scale, and a run has dozens of jobs that need them. So Snakemake
opens a server beside its jobs. A job that finds one hands over its command, folder, environment and standard streams, and waits for the exit
status. The server imports each stage when it is first asked for, and forks a process for each job. It keeps nothing of this package that a
key covers: a job reads that anew. The threads that it has by then, of OpenBLAS and of jemalloc, bear a fork.

A job that finds no server imports by itself: one that is started by hand, runs on a cluster or takes a GPU, which does not bear a fork.
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
from collections.abc import Callable, Iterable
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import wait

SERVER = "SELECTIMPROVE_SERVER"
"""The variable of the environment that names a server's socket and the modules that it runs."""
LONGEST = 2**20
"""Bytes of a request at most; a socket takes less."""


def open_server(modules: Iterable[str], allocation: dict[str, str]) -> None:
    """Have jobs of this process run some modules in forks of a server, which ends with this process; not where forks are unsafe.

    Where this process has been given a server, its jobs use that one.

    Parameters
    ----------
    modules : iterable of str
    allocation : dict of str to str
        Variables of the environment that a process reads at its start alone, and that forks would take from the server.
    """
    if sys.platform != "linux" or SERVER in os.environ:
        return
    folder = tempfile.mkdtemp(prefix="selectimprove-")
    address = f"{folder}/socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(address)
        except OSError:
            # The path of a socket has a hundred characters at most.
            shutil.rmtree(folder)
            return
        listener.listen(128)
        # Nothing is written to the pipe. It closes with this process, however that ends.
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(listener.fileno()), folder],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | allocation,
        )
    os.environ[SERVER] = json.dumps([address, *modules])


def hand_over() -> None:
    """Have a server run the command of this process, where there is one, and end as that does; else return."""
    address, *modules = json.loads(os.environ.pop(SERVER, '[""]'))
    # Without a server, how this process was started is no matter.
    if not modules or _module(sys.orig_argv) not in modules:
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
    # As a shell says it of a process that a signal ended.
    os._exit(status if status >= 0 else 128 - status)


def _module(command: list[str]) -> str:
    return command[command.index("-m") + 1]


def serve(listener: socket.socket) -> None:
    """Fork a process for each request, until stdin is closed and all that were forked have ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    jobs, sources = {}, [listener, sys.stdin]
    while sources or jobs:
        for ready in wait([*sources, *jobs]):
            if ready is sys.stdin:
                sources = []
            elif ready is listener:
                connection = listener.accept()[0]
                request, streams, _, _ = socket.recv_fds(connection, LONGEST, 3)
                if not request:
                    # The job was killed before it had asked.
                    connection.close()
                    continue
                told = json.loads(request)
                import_ahead(_module(told["command"]))
                # A job would wait for as long as any process has the other end of its connection.
                others = [listener, *(other for _, other in jobs.values())]
                process = get_context("fork").Process(target=_run, args=(told, streams, connection, others))
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
    """Import a module for the sake of what it imports, and forget what keys cover of this package: it may be edited while this process runs."""
    # A job whose module cannot be imported says so in its own log.
    with contextlib.suppress(Exception):
        importlib.import_module(module)
    # A job that hands over needs nothing of this.
    from selectimprove.artifacts.keys import is_frame

    sys.modules.pop(module, None)
    forget(lambda inner: not is_frame(inner))
    # What no process touches, all share.
    gc.freeze()


def forget(which: Callable[[str], bool]) -> None:
    """Have modules of this package, which are named without it, be read anew when they are imported next."""
    for name in list(sys.modules):
        package, _, inner = name.partition(".")
        if package == "selectimprove" and which(inner):
            del sys.modules[name]


def import_from(path: str) -> None:
    """Import from the folders of a ``PYTHONPATH``; where it is not this process's, that is another checkout, whose package is read anew."""
    own = os.environ.get("PYTHONPATH", "")
    if path == own:
        return
    others = [folder for folder in sys.path[1:] if folder not in own.split(os.pathsep)]
    sys.path[1:] = [*filter(None, path.split(os.pathsep)), *others]
    forget(lambda inner: True)


def _run(told: dict, streams: list[int], connection: socket.socket, others: list[socket.socket]) -> None:
    """Run a job's command in this process, which was forked for it."""
    for other in others:
        other.close()
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    # What Python knows of the server's own, such as whether they are files, is not so of these.
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
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(told["folder"])
    # As ``python -m`` has it.
    sys.path[0] = told["folder"]
    import_from(told["environment"].get("PYTHONPATH", ""))
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.orig_argv = told["command"]
    module = _module(sys.orig_argv)
    sys.argv = sys.orig_argv[sys.orig_argv.index(module) :]
    # What the server registered is its own; of a forked process's, Python before 3.13 runs nothing.
    atexit._clear()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()


if __name__ == "__main__":
    gc.disable()
    number, folder = sys.argv[1:]
    try:
        serve(socket.socket(fileno=int(number)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # Leaving all that was imported to the interpreter takes seconds.
        os._exit(0)
