"""Locks: one process at a time, and nothing left behind."""

import fcntl
import multiprocessing

import pytest

from selectimprove.artifacts.files import lock_folder

PROCESSES = multiprocessing.get_context("fork")


def test_the_lock_is_on_a_file_that_can_be_written_beside_the_folder(tmp_path):
    """NFS locks no other for all nodes."""
    folder, file = tmp_path / "artifact.partial", tmp_path / "artifact.partial.lock"
    folder.mkdir()
    with lock_folder(folder):
        with file.open("r+") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert not list(folder.iterdir())
    assert not file.exists()


def count(tmp_path, times: int) -> None:
    for _ in range(times):
        with lock_folder(tmp_path / "shared"):
            counter = tmp_path / "counter"
            counter.write_text(str(int(counter.read_text()) + 1))


def test_processes_that_lock_in_turn_lose_nothing(tmp_path):
    (tmp_path / "counter").write_text("0")
    users = [PROCESSES.Process(target=count, args=(tmp_path, 200)) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [user.exitcode for user in users] == [0] * 4
    assert (tmp_path / "counter").read_text() == "800"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]
