"""The frame of a stage: one folder, made once, whole or not at all."""

import errno
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from conftest import laptop_plan
from selectimprove.artifacts import runner
from selectimprove.config.messages import describe_all
from selectimprove.types import Strict

PLAN = laptop_plan()
PROCESSES = multiprocessing.get_context("fork")


class Seconds(Strict):
    seconds: float
    fails: bool = False


@pytest.fixture(autouse=True)
def recorder(monkeypatch):
    """What records a stage looks for its source in the package, where the one of these tests is not."""

    class Recorder:
        source: ClassVar = {"stages.sleep": "as it is read"}
        input_names: ClassVar = {}

        def __init__(self, *_):
            pass

        def finish(self, folder: Path, resumed: bool) -> dict:
            return {"source": self.source, "inputs": self.input_names, "resumed": resumed}

    monkeypatch.setattr(runner, "Recorder", Recorder)


def sleep(config: Seconds, inputs: dict[str, Path], folder: Path) -> None:
    """Leave a file a call beside the artifact, and one in it."""
    (folder.parent / f"call-{time.monotonic_ns()}").touch()
    time.sleep(config.seconds)
    if config.fails:
        raise RuntimeError("half-way")
    (folder / "done").touch()


def make(folder: Path, **config) -> None:
    runner.run_stage(Seconds, sleep, ["--config", json.dumps(config), "--output", str(folder / "artifact")])


def calls(folder: Path) -> int:
    return len(list(folder.glob("call-*")))


def test_two_who_share_results_make_an_artifact_once(tmp_path):
    users = [PROCESSES.Process(target=make, args=(tmp_path,), kwargs={"seconds": 1}) for _ in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [user.exitcode for user in users] == [0, 0]
    assert calls(tmp_path) == 1
    assert sorted(path.name for path in (tmp_path / "artifact").iterdir()) == ["config.json", "done", "provenance.json"]
    assert not (tmp_path / "artifact.partial").exists()


def test_who_waited_for_one_that_was_killed_makes_the_artifact(tmp_path):
    first, second = (
        PROCESSES.Process(target=make, args=(tmp_path,), kwargs={"seconds": seconds}) for seconds in (60, 0)
    )
    first.start()
    for _ in range(200):
        if calls(tmp_path):
            break
        time.sleep(0.05)
    second.start()
    time.sleep(0.5)
    first.kill()
    second.join(20)
    assert second.exitcode == 0
    assert calls(tmp_path) == 2
    assert (tmp_path / "artifact/done").exists()


def test_a_stage_that_fails_leaves_nothing_under_its_name(tmp_path):
    with pytest.raises(RuntimeError):
        make(tmp_path, seconds=0, fails=True)
    assert not (tmp_path / "artifact").exists()
    make(tmp_path, seconds=0)
    assert (tmp_path / "artifact/done").exists()


def test_a_stage_that_was_given_too_little_leaves_nothing(tmp_path):
    def ask(config: Seconds, inputs: dict[str, Path], folder: Path) -> None:
        inputs["policy"]

    with pytest.raises(SystemExit) as refused:
        runner.run_stage(Seconds, ask, ["--config", '{"seconds": 0}', "--output", str(tmp_path / "artifact")])
    assert "needs --input policy=FOLDER" in str(refused.value)
    assert not list(tmp_path.glob("artifact*/"))


def test_a_record_says_whether_its_times_are_of_the_last_of_several_processes(tmp_path):
    make(tmp_path / "at_once", seconds=0)
    with pytest.raises(RuntimeError):
        make(tmp_path / "again", seconds=0, fails=True)
    make(tmp_path / "again", seconds=0)
    records = [json.loads((tmp_path / f"{name}/artifact/provenance.json").read_text()) for name in ("at_once", "again")]
    assert [record["resumed"] for record in records] == [False, True]


def test_who_is_stopped_while_the_record_is_written_repeats_nothing(tmp_path, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(runner.Recorder, "finish", no_space)
        with pytest.raises(SystemExit):
            make(tmp_path, seconds=0)
    assert not (tmp_path / "artifact").exists()
    make(tmp_path, seconds=0)
    assert calls(tmp_path) == 1
    assert sorted(path.name for path in (tmp_path / "artifact").iterdir()) == ["config.json", "done", "provenance.json"]


def test_what_was_done_with_another_config_is_done_again(tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.delattr(runner.Recorder, "finish")
        with pytest.raises(AttributeError):
            make(tmp_path, seconds=0)
    make(tmp_path, seconds=0.01)
    assert calls(tmp_path) == 2
    assert json.loads((tmp_path / "artifact/config.json").read_text())["seconds"] == 0.01


def test_who_comes_after_another_has_made_it_takes_it(tmp_path):
    """Two checkouts share results: the second planned the artifact before the first had made it."""
    make(tmp_path, seconds=0)
    before = (tmp_path / "artifact/provenance.json").read_bytes()
    make(tmp_path, seconds=0)
    assert calls(tmp_path) == 1
    assert (tmp_path / "artifact/provenance.json").read_bytes() == before


def test_a_later_run_by_hand_replaces_the_artifact(tmp_path):
    make(tmp_path, seconds=0)
    make(tmp_path, seconds=0.01)
    assert json.loads((tmp_path / "artifact/config.json").read_text())["seconds"] == 0.01


def test_code_that_was_edited_after_planning_is_refused(tmp_path, monkeypatch):
    output = tmp_path / "artifact"
    arguments = ["--config", json.dumps({"seconds": 0}), "--output", str(output)]
    monkeypatch.setattr(runner, "artifact_digest", lambda *_: "as-it-is")
    with pytest.raises(SystemExit, match="edited after this run was planned"):
        runner.run_stage(Seconds, sleep, [*arguments, "--key", "as-planned"])
    assert not output.exists()
    assert calls(tmp_path) == 0
    runner.run_stage(Seconds, sleep, [*arguments, "--key", "as-it-is"])
    assert (output / "done").exists()


def test_what_another_program_left_of_its_ranks_makes_no_stage_a_helper(tmp_path, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    make(tmp_path, seconds=0)
    assert (tmp_path / "artifact/provenance.json").exists()
    assert "WORLD_SIZE" not in os.environ


def test_of_several_processes_of_one_stage_the_first_alone_leaves_the_artifact(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", "1")
    make(tmp_path, seconds=0)
    assert calls(tmp_path) == 1
    assert not (tmp_path / "artifact").exists()


def touch_for_its_owner(config: Seconds, inputs: dict[str, Path], folder: Path) -> None:
    (folder / "weights").touch(mode=0o600)


@pytest.mark.parametrize(("umask", "mode"), [(0o027, 0o640), (0o022, 0o644), (0o000, 0o666)])
def test_files_have_the_modes_that_the_umask_gives(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        runner.run_stage(Seconds, touch_for_its_owner, ["--config", '{"seconds": 0}', "--output", str(tmp_path / "a")])
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir()} == {mode}


def read_rows(config: Seconds, inputs: dict[str, Path], folder: Path) -> None:
    (inputs["rows"] / "rows.parquet").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", '{"seconds": 0, "secconds": 1}'], "--config: secconds: unknown key; did you mean 'seconds'?"),
        (["--config", '{"seconds": "soon"}'], "--config: seconds"),
        (["--config", "nowhere.json"], "--config: neither JSON nor the path of a JSON file"),
        (["--config", '{"seconds": 0}'], "needs --input rows=FOLDER"),
    ],
)
def test_a_mistake_of_a_run_by_hand_is_one_line(tmp_path, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        runner.run_stage(Seconds, read_rows, [*arguments, "--output", str(tmp_path / "artifact")])
    assert said in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "artifact").exists()


CONFIGS = {name: next(iter(artifacts.values())).config for name, artifacts in PLAN.artifacts.items() if artifacts}


def places(value: object, above: tuple = ()) -> Iterator[tuple]:
    """List where values stand in a config, each as the keys that lead to it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from places(inner, (*above, key))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_a_config_is_taken_or_named(data):
    config = CONFIGS[data.draw(st.sampled_from(list(CONFIGS)))]
    content = config.model_dump(mode="json")
    *above, last = data.draw(st.sampled_from(list(places(content))))
    holder = reduce(lambda held, key: held[key], above, content)
    if data.draw(st.booleans()):
        del holder[last]
    else:
        holder[last] = data.draw(st.sampled_from([None, 3, -1, True, "x", [], [[]], {}, {"x": 1}]))
    try:
        type(config).model_validate(content)
        lines = ["taken"]
    except ValidationError as error:
        lines = describe_all(error.errors(), type(config))
    assert lines


@pytest.mark.parametrize("text", ["{}", '{"task_name": "chain"}', '{"task_name": []}'])
@pytest.mark.parametrize("stage", CONFIGS)
def test_what_is_no_config_of_a_stage_is_named(stage, text, tmp_path):
    arguments = ["--config", text, "--output", str(tmp_path / "artifact")]
    with pytest.raises(SystemExit, match=r"^--config: "):
        runner.run_stage(type(CONFIGS[stage]), sleep, arguments)
