"""Records that are empty, cut short or in conflict cost no run, and are named where they count."""

import json
import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest

from conftest import ENVIRONMENT, laptop_plan
from selectimprove.analysis.tables import read_measures, select
from selectimprove.artifacts.files import lock_folder
from selectimprove.artifacts.provenance import git_commit, read_if_whole, read_record
from selectimprove.artifacts.runner import working_folder
from selectimprove.dag.costs import COLUMNS, collect_costs, costs_file, read_costs, record_costs
from selectimprove.dag.forecast import explain
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.remaking import check_record
from selectimprove.reports.running import Progress, log_of
from selectimprove.reports.verify import check_others

HEAD = ",".join(COLUMNS)
GOOD = "problems,rl-gf11-6to9-s110-0123456789,4.5,90,EPYC"


@pytest.fixture
def plan() -> Plan:
    return laptop_plan()


@pytest.mark.parametrize(
    "broken",
    [
        "<<<<<<< HEAD",
        "problems,x,many,90,EPYC",
        "problems,x,nan,90,EPYC",
        "problems,x,-3,90,EPYC",
        "problems,x",
        "\x00\x01\xff",
        '"' + "x" * 200_000,
    ],
)
def test_what_is_no_record_of_costs_is_ignored(tmp_path, broken):
    path = tmp_path / "costs.csv"
    path.write_text(f"{HEAD}\n{broken}\n{GOOD}\n{broken}\n", encoding="latin-1")
    assert read_costs(path) == [dict(zip(COLUMNS, GOOD.split(","), strict=True))]


def test_recorded_times_stay_until_their_artifact_is_planned_no_more_and_another_of_its_slug_is_made(
    tmp_path, monkeypatch, plan
):
    monkeypatch.chdir(tmp_path)
    of_slug = defaultdict(list)
    for artifact in plan.artifacts["rl"].values():
        of_slug[artifact.slug].append(artifact)
    made, other = next(artifacts for artifacts in of_slug.values() if len(artifacts) > 1)[:2]
    made.folder.mkdir(parents=True)
    made.done.write_text('{"seconds": 9}')

    def row(name: str, seconds: str) -> dict[str, str]:
        return dict(zip(COLUMNS, ("rl", name, seconds, "90", "EPYC"), strict=True))

    old, elsewhere = row(f"{made.slug}-0123456789", "7"), row("X-0123456789", "8")
    known = sorted([row(made.name, "5"), row(other.name, "6"), old, elsewhere], key=lambda row: row["name"])
    assert collect_costs(plan, known) == known
    new = [row for row in known if row["name"] != made.name]
    seconds = {row["name"]: float(row["seconds"]) for row in collect_costs(plan, new)}
    assert seconds == {made.name: 9, other.name: 6, elsewhere["name"]: 8}


def test_an_exact_rerun_leaves_the_costs_of_its_scale_and_all_others_as_they_are(tmp_path, monkeypatch, plan):
    monkeypatch.chdir(tmp_path)
    artifact = next(iter(plan.artifacts["problems"].values()))
    artifact.folder.mkdir(parents=True)
    artifact.done.write_text('{"seconds": 9}')
    record_costs(plan)
    before = costs_file("laptop").read_bytes()
    assert read_costs(costs_file("laptop"))[0]["seconds"] == "9"
    artifact.done.write_text('{"seconds": 10}')
    record_costs(plan)
    assert costs_file("laptop").read_bytes() == before
    assert costs_file("laptop") == Path("results/costs.csv")
    assert costs_file("smoke") == Path("results/smoke/costs.csv")


def test_a_job_that_failed_is_no_longer_said_to_run(tmp_path, monkeypatch, plan):
    monkeypatch.chdir(tmp_path)
    artifact = next(iter(plan.artifacts["rl"].values()))
    progress = Progress(plan.params, [artifact], {"cores": 1})
    log_of(artifact).parent.mkdir(parents=True)
    log_of(artifact).touch()
    # The clock of files is a few milliseconds behind.
    progress.started -= 1
    artifact.folder.parent.mkdir(parents=True)
    with lock_folder(working_folder(artifact.folder)):
        assert f"\n    rl {artifact.slug}" in progress.line(0.0)
    assert f"rl {artifact.slug}" not in progress.line(0.0)


@pytest.mark.parametrize("content", ["", '{"seconds": 3, "fil', "[]", "<<<<<<< HEAD\n{}", "\x00"])
def test_a_broken_record_is_named_and_costs_nothing(tmp_path, monkeypatch, plan, content):
    monkeypatch.chdir(tmp_path)
    artifact = next(iter(plan.artifacts["problems"].values()))
    artifact.folder.mkdir(parents=True)
    artifact.done.write_text(content)
    (artifact.folder / "config.json").write_text("{}")
    assert collect_costs(plan, []) == []
    assert explain(artifact) == "never made"
    assert Progress(plan.params, [artifact, *plan.exhibits.values()], {"cores": 1}).line(0.0).startswith("1 of ")
    (line,) = check_record(artifact)
    assert line.startswith(f"{artifact.done}: is not the JSON that was written")
    assert line.endswith(f"remove {artifact.folder} and run `snakemake --cores all {artifact.done}`")

    other = artifact.folder.with_name("other-0123456789")
    shutil.copytree(artifact.folder, other)
    (line,) = check_others({artifact.folder})
    assert line.startswith(f"{other}/provenance.json: is not the JSON that was written")


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_broken_config_is_named(tmp_path, monkeypatch, plan, content):
    monkeypatch.chdir(tmp_path)
    artifact = next(iter(plan.artifacts["problems"].values()))
    artifact.folder.mkdir(parents=True)
    artifact.done.write_text(json.dumps({"inputs": {}, "source": {}, "files": {}}))
    (artifact.folder / "config.json").write_text(content)
    assert explain(artifact) == "never made"
    (line,) = check_record(artifact)
    assert line.startswith(f"{artifact.folder}/config.json: is not the JSON that was written")


def test_a_record_of_what_is_published_in_conflict_counts_as_none(tmp_path):
    record = tmp_path / "figure2.json"
    assert read_if_whole(record) == {}
    record.write_text('<<<<<<< HEAD\n{"key": "figure2-0123456789"}')
    assert read_if_whole(record) == {}


def test_a_record_that_is_not_there_is_an_error_of_one_line(tmp_path):
    with pytest.raises(ParamsError, match="cannot be read: No such file"):
        read_record(tmp_path / "provenance.json")


@pytest.fixture
def package(tmp_path) -> Path:
    """A folder of code, as an archive without history leaves it."""
    folder = tmp_path / "outer/archive/selectimprove"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    return folder


def run_git(folder: Path, *commands: str) -> None:
    for command in commands:
        subprocess.run(["git", *command.split()], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)


def test_an_archive_has_no_commit(package):
    assert git_commit(package) is None


def test_an_archive_inside_another_repository_has_not_its_commit(package):
    outer = package.parents[1]
    (outer / "file").write_text("")
    run_git(outer, "init -q", "add file", "commit -q -m start")
    assert git_commit(package) is None


def test_code_that_is_tracked_has_the_commit_and_says_whether_it_was_changed(package, monkeypatch, tmp_path):
    run_git(package, "init -q", "add .", "commit -q -m start")
    commit = git_commit(package)
    assert len(commit) == 40
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git_commit(package) == commit
    (package / "__init__.py").write_text("x = 1\n")
    assert git_commit(package) == f"{commit}+dirty"


def test_other_files_whose_code_counts_are_asked_about_too(package):
    notebook, reward = package.parent / "figure.ipynb", package.parent / "reward.py"
    notebook.write_text("{}")
    run_git(package.parent, "init -q", "config status.showUntrackedFiles no", "add .", "commit -q -m start")
    commit = git_commit(package, [notebook, reward, Path("/elsewhere.py")])
    assert len(commit) == 40
    notebook.write_text("[]")
    assert git_commit(package) == commit
    assert git_commit(package, [notebook]) == f"{commit}+dirty"
    notebook.write_text("{}")
    reward.write_text("def mine(): pass")
    assert git_commit(package, [notebook, reward]) == f"{commit}+dirty"
    (package / "more.py").write_text("")
    assert git_commit(package) == f"{commit}+dirty"


def test_asking_for_the_commit_takes_no_lock(package):
    run_git(package, "init -q", "add .", "commit -q -m start")
    (package / ".git/index.lock").touch()
    (package / "__init__.py").touch()
    before = (package / ".git/index").read_bytes()
    assert len(git_commit(package)) == 40
    assert (package / ".git/index").read_bytes() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_clone_of_another_owner_has_its_commit(package):
    run_git(package, "init -q", "add .", "commit -q -m start")
    for path in [package, *package.rglob("*")]:
        os.chown(path, 12345, 12345)
    assert len(git_commit(package)) == 40


@pytest.mark.parametrize("rights", [None, 0o644])
def test_without_git_there_is_no_commit(package, monkeypatch, tmp_path, rights):
    run_git(package, "init -q", "add .", "commit -q -m start")
    if rights:
        (tmp_path / "git").write_text("not to be executed")
        (tmp_path / "git").chmod(rights)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(package) is None


def test_an_empty_selection_is_an_error_that_says_what_there_is(tmp_path):
    table = pd.DataFrame({"problem_set": ["2-5", "7-10"], "n_steps": ["all", "3"], "pass_at_1": [0.5, 0.6]})
    table.to_parquet(tmp_path / "pass_rates.parquet")
    assert len(read_measures(tmp_path, "pass_rates", "problem_set == '2-5'")) == 1
    assert len(select(table, "n_steps == 'all'", "rates")) == 1
    with pytest.raises(ParamsError) as found:
        read_measures(tmp_path, "pass_rates", "problem_set == '6-9'")
    assert str(found.value) == "pass_rates.parquet has no row with problem_set == '6-9'; it has problem_set: 2-5, 7-10"
    pd.DataFrame().to_parquet(tmp_path / "mechanisms.parquet")
    with pytest.raises(ParamsError, match=r"mechanisms\.parquet of this experiment is empty"):
        read_measures(tmp_path, "mechanisms", "problem_set == '6-9'")
