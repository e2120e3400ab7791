"""Stages that are forked from one process end, fail and are killed as those that start by themselves."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
import pytest

import selectimprove
from conftest import restore_interrupts, runs
from selectimprove.artifacts.forking import SERVER, open_server, package_files

JOB = """
    import atexit, os, sys, time
    from selectimprove.artifacts.forking import hand_over
    if __name__ == "__main__":
        hand_over()
    else:
        raise SyntaxError("imported ahead")
    what, *rest = sys.argv[1:]
    print(f"{os.getppid()} {os.getcwd()} {os.environ.get('TOLD')} {sys.orig_argv[1:]} {rest}", flush=True)
    if what == "reconfigure":
        sys.stdout.reconfigure(errors="replace")
        print("\\ud800")
    if what == "register":
        atexit.register(print, "at exit")
    if what == "import":
        from selectimprove.artifacts import keys, files
        print(keys.__file__, files.__file__)
    if what == "refuse":
        sys.exit("one line")
    if what == "exit":
        sys.exit(3)
    if what == "break":
        raise RuntimeError("broken")
    if what == "die":
        os.kill(os.getpid(), 9)
    if what == "wait":
        time.sleep(600)
"""
OPENER = """
    import os, sys
    # The server's own streams are files, those of jobs pipes.
    os.dup2(os.open("streams", os.O_WRONLY | os.O_CREAT), 2)
    from selectimprove.artifacts.forking import SERVER, open_server
    told = os.dup(1)
    os.dup2(2, 1)
    open_server(["job"], {"ALLOCATION": "64"})
    os.dup2(told, 1)
    print(os.environ[SERVER], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "job.py").write_text(textwrap.dedent(JOB))
    return tmp_path


def start_python(folder, words, environment, **streams):
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=restore_interrupts,
        **streams,
    )


def start_opener(folder, **environment):
    process = start_python(folder, ["-c", textwrap.dedent(OPENER)], environment, stdin=subprocess.PIPE)
    process.server = process.stdout.readline().strip()
    return process


@pytest.fixture
def opener(folder):
    """A process that has opened a server, and what it put into its environment."""
    # The path of a socket has a hundred characters at most, and may have any.
    with tempfile.TemporaryDirectory(prefix="a:b ") as temporary:
        process = start_opener(folder, TMPDIR=temporary)
        yield process
        process.kill()
        process.wait()


def start(folder, *words, **environment):
    return start_python(folder, ["-m", "job", *words], environment, stderr=subprocess.PIPE)


def eventually(condition):
    """Wait until a condition holds; a test that waits in vain fails."""
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("waited 20 s in vain")


@pytest.mark.parametrize("what", ["succeed", "reconfigure", "register", "refuse", "exit", "break"])
def test_a_forked_job_does_what_it_does_by_itself(folder, opener, what):
    alone = start(folder, what, "a word", TOLD="something")
    forked = start(folder, what, "a word", TOLD="something", SELECTIMPROVE_SERVER=opener.server)
    said = [process.communicate() for process in (alone, forked)]
    assert alone.returncode == forked.returncode
    (parent_alone, out_alone), (parent_forked, out_forked) = (out.split(" ", 1) for out, _ in said)
    assert out_alone == out_forked
    assert int(parent_alone) == os.getpid()
    server = psutil.Process(int(parent_forked))
    assert server.ppid() == opener.pid
    # What decides how a process allocates memory, it reads at its start.
    assert server.environ()["ALLOCATION"] == "64"
    # A traceback goes through the frames that ran the job.
    assert said[0][1].splitlines()[-1:] == said[1][1].splitlines()[-1:]


def test_a_forked_job_that_is_killed_is_told_so(folder, opener):
    job = start(folder, "die", SELECTIMPROVE_SERVER=opener.server)
    job.communicate()
    assert job.returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_kills_the_job_kills_what_was_forked_for_it(folder, opener, number):
    job = start(folder, "wait", SELECTIMPROVE_SERVER=opener.server)
    server = psutil.Process(int(job.stdout.readline().split()[0]))
    (forked,) = server.children()
    job.send_signal(number)
    job.communicate()
    eventually(lambda: not runs(forked))
    # The server goes on.
    assert start(folder, "succeed", SELECTIMPROVE_SERVER=opener.server).communicate()[0]


def test_jobs_that_run_at_once_end_in_any_order(folder, opener):
    slow = start(folder, "wait", SELECTIMPROVE_SERVER=opener.server)
    slow.stdout.readline()
    quick = start(folder, "exit", SELECTIMPROVE_SERVER=opener.server)
    quick.communicate()
    assert quick.returncode == 3
    assert slow.poll() is None
    slow.kill()
    slow.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_interrupted_leaves_no_file(opener, number):
    address = json.loads(opener.server)[0]
    (server,) = psutil.Process(opener.pid).children()
    eventually(lambda: server.status() == psutil.STATUS_SLEEPING)
    server.send_signal(number)
    eventually(lambda: not os.path.exists(os.path.dirname(address)))


def test_a_job_that_dies_before_it_asks_does_not_end_the_server(folder, opener):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(json.loads(opener.server)[0])
    job = start(folder, "exit", SELECTIMPROVE_SERVER=opener.server)
    assert int(job.communicate()[0].split()[0]) != os.getpid()
    assert job.returncode == 3


@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_the_server_ends_with_who_opened_it_and_leaves_no_file(folder, opener, number):
    address = json.loads(opener.server)[0]
    (server,) = psutil.Process(opener.pid).children()
    if number:
        opener.send_signal(number)
    else:
        opener.stdin.close()
    eventually(lambda: not os.path.exists(os.path.dirname(address)))
    eventually(lambda: not runs(server))
    # A job that comes too late runs by itself.
    job = start(folder, "exit", SELECTIMPROVE_SERVER=opener.server)
    assert int(job.communicate()[0].split()[0]) == os.getpid()
    assert job.returncode == 3


def test_a_job_of_another_checkout_imports_its_package(folder, opener, tmp_path):
    package = Path(selectimprove.__file__).parent
    shutil.copytree(package, tmp_path / "workflow/selectimprove", ignore=shutil.ignore_patterns("__pycache__"))
    for workflow in (tmp_path / "workflow", package.parent):
        job = start(folder, "import", SELECTIMPROVE_SERVER=opener.server, PYTHONPATH=str(workflow))
        first, imported = job.communicate()[0].splitlines()
        assert int(first.split()[0]) != os.getpid()
        assert [Path(file).parents[2] for file in imported.split()] == [workflow, workflow]


def test_a_job_runs_the_package_as_it_is_when_it_starts(folder, tmp_path):
    package = Path(selectimprove.__file__).parent
    shutil.copytree(package, tmp_path / "workflow/selectimprove", ignore=shutil.ignore_patterns("__pycache__"))
    path = {"PYTHONPATH": str(tmp_path / "workflow")}
    process = start_opener(folder, **path)
    errors = tmp_path / "workflow/selectimprove/errors.py"
    for said in ("first", "second"):
        errors.write_text(f"{errors.read_text()}\nprint({said!r})\n")
        job = start(folder, "import", SELECTIMPROVE_SERVER=process.server, **path)
        first, *lines = job.communicate()[0].splitlines()
        assert int(first.split()[0]) != os.getpid()
        assert said in lines
    process.kill()
    process.wait()


def test_edits_are_looked_for_in_this_package_alone():
    package = Path(selectimprove.__file__).parent
    assert package_files().keys() == {*package.rglob("*.py")}


def test_the_server_can_be_turned_off(folder, monkeypatch):
    monkeypatch.setenv(SERVER, "0")
    children = psutil.Process().children()
    open_server(["job"], {})
    assert psutil.Process().children() == children
    job = start(folder, "exit")
    assert int(job.communicate()[0].split()[0]) == os.getpid()
    assert job.returncode == 3


def test_a_process_that_was_given_a_server_opens_none(opener, monkeypatch):
    monkeypatch.setenv(SERVER, opener.server)
    children = psutil.Process().children()
    open_server(["another"], {})
    assert os.environ[SERVER] == opener.server
    assert psutil.Process().children() == children


def test_a_server_runs_no_module_that_it_was_not_opened_for(folder, opener):
    address = json.loads(opener.server)[0]
    job = start(folder, "succeed", SELECTIMPROVE_SERVER=json.dumps([address, "another"]))
    assert int(job.communicate()[0].split()[0]) == os.getpid()


def test_a_job_by_hand_may_be_started_with_other_options_of_python(folder):
    done = subprocess.run([sys.executable, "-um", "job", "exit"], cwd=folder, capture_output=True)
    assert done.returncode == 3


def test_where_no_socket_can_be_jobs_run_by_themselves(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    open_server(["job"], {})
    assert SERVER not in os.environ
    assert list(long.iterdir()) == []


def test_what_is_imported_ahead_starts_no_thread_and_computes_nothing():
    code = """
        import sys
        from pathlib import Path
        from selectimprove.artifacts.forking import import_ahead
        from selectimprove.dag.table import STAGES
        for stage in STAGES.values():
            import_ahead(f"selectimprove.{stage.module}")
        print("trl.trainer.sft_trainer" in sys.modules, "papermill" in sys.modules)
        # torch chooses its vector instructions when it first computes: a fork still can.
        import os, torch
        os.environ["ATEN_CPU_CAPABILITY"] = "default"
        print(torch.backends.cpu.get_cpu_capability())
        print(sorted(task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")))
    """
    # OpenBLAS stops its threads at a fork, and jemalloc its own; no other is known to.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment
    )
    assert done.stdout.splitlines() == ["True True", "DEFAULT", "['jemalloc_bg_thd', 'python']"], done.stderr
