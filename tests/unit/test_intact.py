"""Damaged artifacts: nothing is made from them or published, and one line says which file it is and what to do."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selectimprove.artifacts.files import date_back, drop_temporaries, replace
from selectimprove.artifacts.provenance import require_intact
from selectimprove.artifacts.runner import explain
from selectimprove.errors import ParamsError
from selectimprove.reports.publish import publish_exhibit
from selectimprove.reports.running import describe_end


def make(folder: Path, **files: str) -> Path:
    """Make an artifact as a stage leaves it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    hashes = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in files.items()}
    (folder / "provenance.json").write_text(json.dumps({"inputs": {}, "files": hashes}))
    return folder


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_text("123"), "has changed since it was made"),
        (lambda path: path.write_text(""), "has changed since it was made"),
        (lambda path: path.write_text("12345 "), "has changed since it was made"),
        (Path.unlink, "is missing"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, damage, says):
    whole, damaged = make(tmp_path / "whole", rows="1"), make(tmp_path / "damaged", rows="12345", others="1")
    require_intact([whole, damaged])
    damage(damaged / "rows")
    with pytest.raises(ParamsError) as found:
        require_intact([whole, damaged])
    remedy = f"remove {damaged} and repeat the command, which makes it again if it is needed"
    assert str(found.value) == f"{damaged}/rows: {says}; {remedy}"


def test_a_broken_record_is_named_with_what_to_do(tmp_path):
    folder = make(tmp_path / "artifact", rows="1")
    (folder / "provenance.json").write_text('{"inputs": {}, "fi')
    with pytest.raises(
        ParamsError, match=r"provenance\.json: is not the JSON that was written.*; remove .*/artifact and"
    ):
        require_intact([folder])


def test_a_folder_of_ones_own_needs_no_record(tmp_path):
    (tmp_path / "rows").write_text("1")
    require_intact([tmp_path])


def test_weights_are_compared_only_by_what_can_read_them(tmp_path, monkeypatch):
    folder = make(tmp_path / "artifact", **{"model.safetensors": "1"})
    (folder / "model.safetensors").write_text("2")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    require_intact([folder])
    monkeypatch.setitem(sys.modules, "torch", object())
    with pytest.raises(ParamsError, match=r"model\.safetensors: has changed"):
        require_intact([folder])


def test_a_damaged_table_is_not_published_over_a_whole_one(tmp_path):
    exhibit = make(tmp_path / "results/exhibits/table-0123456789", **{"table.csv": "whole"})
    target = tmp_path / "results/tables/table.csv"
    publish_exhibit(exhibit, [target], tmp_path / "results")
    (exhibit / "table.csv").write_text("half")
    with pytest.raises(ParamsError, match=r"table\.csv: has changed"):
        publish_exhibit(exhibit, [target], tmp_path / "results")
    assert target.read_text() == "whole"


def test_publishing_removes_what_a_kill_left_half_written(tmp_path):
    exhibit = make(tmp_path / "results/exhibits/table-0123456789", **{"table.csv": "whole"})
    target = tmp_path / "results/tables/table.csv"
    target.parent.mkdir()
    (target.parent / "table.csv.4711.tmp").write_text("ha")
    (target.parent / "other.csv.4711.tmp").write_text("ha")
    publish_exhibit(exhibit, [target], tmp_path / "results")
    assert sorted(path.name for path in target.parent.iterdir()) == ["other.csv.4711.tmp", "table.csv"]
    drop_temporaries([target.with_name("other.csv")])
    assert [path.name for path in target.parent.iterdir()] == ["table.csv"]


def test_a_write_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    def fill_the_disk(path: Path) -> None:
        path.write_text("ha")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "table.csv"
    target.write_text("whole")
    with pytest.raises(OSError, match="No space left"):
        replace(target, fill_the_disk)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("table.csv", "whole")]


def test_only_files_of_the_future_are_dated_back(tmp_path):
    now = time.time()
    times = {"old": now - 1000, "coming": now + 1000}
    for name, stamp in times.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (stamp, stamp))
    date_back([tmp_path / "old", tmp_path / "coming", tmp_path / "absent"])
    assert (tmp_path / "old").stat().st_mtime == pytest.approx(now - 1000)
    assert (tmp_path / "coming").stat().st_mtime == pytest.approx(now, abs=60)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left; free some and repeat"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "no space left; free some and repeat"),
        (
            OSError(errno.EACCES, "Permission denied", "/shared/rows"),
            "/shared/rows: Permission denied; make it writable",
        ),
        (MemoryError(), "not enough memory"),
        (RuntimeError("probability tensor contains either `inf`, `nan` or element < 0"), "lower a learning rate"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
    ],
)
def test_what_the_machine_lacks_or_a_rate_broke_is_said_in_one_line(tmp_path, error, says):
    said = explain(error, tmp_path / "artifact")
    assert says in said
    assert "\n" not in said


def test_an_error_of_the_stage_itself_stays_what_it_is(tmp_path):
    assert explain(ValueError("no such strategy"), tmp_path / "artifact") is None


def test_what_a_failed_job_said_last_is_repeated(tmp_path):
    log = tmp_path / "labels.log"
    log.write_text("Traceback\nlabels: results/x: is missing; remove it\n\n")
    assert describe_end("", [log, tmp_path / "absent.log"]) == [f"{log}: labels: results/x: is missing; remove it"]


def test_of_several_jobs_that_failed_the_last_lines_come_in_their_order(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"what {name} said last\n")
    command = "import sys; from pathlib import Path; from selectimprove.reports.running import report_end; report_end([], map(Path, sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", command, "first", "second"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.stderr.splitlines() == ["first: what first said last", "second: what second said last"]
