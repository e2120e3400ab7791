"""Fixtures: fresh repositories to try user stories in, one of them with the whole DAG run at smoke scale."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psutil
import pytest
import yaml
from filelock import FileLock

from forked import open_for_commands, with_server
from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.reports.verify import verify
from table import write_table

ROOT = Path(__file__).parents[1]
SEEDS = yaml.safe_load((ROOT / "params.yaml").read_text())["seeds"]
SMOKE_SEEDS = yaml.safe_load((ROOT / "workflow/scales/smoke.yaml").read_text())["experiments"]["seeds"]["seeds"]
# A make that runs the tests must not pass its variables and options to a make that a test runs.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=0, help="how many faults tests/faults draws; a few by default")


def pytest_configure(config: pytest.Config) -> None:
    """Open a server for commands, one for all the processes that share the tests.

    It imports torch, which takes longer than most files of unit tests, and these hardly run commands.
    """
    only_units = all("unit" in Path(argument).parts for argument in config.args)
    if "PYTEST_XDIST_WORKER" not in os.environ and not config.option.collectonly and not only_units:
        open_for_commands()


def pytest_terminal_summary(terminalreporter) -> None:
    write_table(terminalreporter)


def pytest_collection_finish() -> None:
    """Exclude imported modules from garbage collection, which statsmodels runs at each correction of p-values."""
    gc.freeze()


def restore_interrupts() -> None:
    """Restore signals in a started process: a shell's background jobs ignore SIGINT, nohup SIGHUP, and tests inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def runs(process: psutil.Process) -> bool:
    """Tell whether a process is running; one that has ended may stay in the process table as a zombie, or vanish at any time."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@cache
def laptop_plan() -> Plan:
    """Plan the params as they are, once for all tests, which leave the plan as it is."""
    return Plan(load_params(ROOT / "params.yaml"))


class Checkout:
    """A separate repository, and commands in it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def run(self, command: str, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=with_server(ENVIRONMENT),
            capture_output=True,
            text=True,
            executable="/bin/bash",
        )
        if check and done.returncode:
            raise AssertionError(f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def planned(self, options: str = "", target: str = "figures") -> dict[str, int]:
        """Return how many jobs of each rule `snakemake figures`, or another target, would run."""
        lines = self.run(f"snakemake --dry-run {target} {options}").stdout.splitlines()
        if any(line.startswith("Nothing to be done") for line in lines):
            return {}
        table = lines[lines.index("Job stats:") + 3 :]
        counts = (line.split() for line in table[: table.index("")])
        return {rule: int(count) for rule, count in counts if rule not in ("total", target)}

    def mismatches(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Verify in this process, as the rule does in a process that imports the copy's package."""
        monkeypatch.chdir(self.folder)
        monkeypatch.setattr("selectimprove.config.loading.SCALES", self.folder / "workflow/scales")
        return verify(Plan(load_params(Path("params.yaml"))), cores=1)

    @property
    def published(self) -> Path:
        """The folder where the tests' scale publishes."""
        return self.folder / "results/smoke"

    def record_of(self, publication: str) -> Path:
        """Return the record of a published figure or table, or of the audit."""
        (record,) = (self.published / "published").glob(f"{publication}-{'?' * 10}.json")
        return record

    def made_from(self, publication: str = "*") -> dict[str, str]:
        """Return the artifacts that published files were made from: a figure's, a table's, the audit's, or all."""
        records = map(Path.read_text, sorted((self.published / "published").glob(f"{publication}-*.json")))
        return {name: content for record in records for name, content in json.loads(record)["made_from"].items()}

    def copy(self, folder: Path) -> "Checkout":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Checkout(folder)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> Checkout:
    """The working tree's files in a new repository, set to smoke scale; nothing has run."""
    folder = tmp_path_factory.mktemp("fresh") / "repository"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for file in files:
        if (ROOT / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / file)
    checkout = Checkout(folder)
    checkout.edit("params.yaml", "scale: laptop", "scale: smoke")
    checkout.run("git init --quiet --initial-branch main && git add --all && git commit --quiet --message start")
    return checkout


def made_once(
    name: str, original: Checkout, make: Callable[[Checkout], None], factory: pytest.TempPathFactory
) -> Checkout:
    """Return a copy of a repository in which `make` has run, once for all test processes."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(original.copy(folder))
            done.touch()
    return Checkout(folder)


@pytest.fixture(scope="session")
def smoke(fresh, tmp_path_factory) -> Checkout:
    """A repository where `snakemake --cores all figures` has run at smoke scale. Change copies of it only."""
    return made_once("smoke", fresh, lambda checkout: checkout.run("snakemake --cores all figures"), tmp_path_factory)


@pytest.fixture(scope="session")
def audited(smoke, tmp_path_factory) -> Checkout:
    """The main experiment with a second seed of one model, Table 1, one figure and verdicts. Change copies of it only."""
    return made_once("audited", smoke, audit_one_seed_more, tmp_path_factory)


def audit_one_seed_more(checkout: Checkout) -> None:
    params = yaml.safe_load((checkout.folder / "params.yaml").read_text())
    overlay = yaml.safe_load((checkout.folder / "workflow/scales/smoke.yaml").read_text())
    kept = {"main": True, "seeds": True}
    params["experiments"] = {name: params["experiments"][name] for name in kept}
    overlay["experiments"] = {"seeds": overlay["experiments"]["seeds"]}
    params["figures"] = {"seeds": params["figures"]["seeds"]}
    overlay["figures"] = {"seeds": overlay["figures"]["seeds"]}
    params["tables"] = {"table1": params["tables"]["table1"]}
    del overlay["tables"]
    (checkout.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (checkout.folder / "workflow/scales/smoke.yaml").write_text(yaml.safe_dump(overlay))
    checkout.run("snakemake --cores all figures && snakemake --cores all audit")


@pytest.fixture
def changed(smoke, tmp_path) -> Checkout:
    """A copy of `smoke` to change."""
    return smoke.copy(tmp_path / "repository")
