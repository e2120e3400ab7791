"""Every command of the README, run; and its table, which must be the published one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.splitlines()
]


@pytest.fixture
def environment(tmp_path) -> Path:
    """A stand-in for .venv that has everything installed already: this one."""
    folder = tmp_path / "venv"
    folder.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.suffix != ".done":
            (folder / entry.name).symlink_to(entry)
    for role in ("train", "dev"):
        (folder / f"{role}.done").touch()
    return folder


def test_the_readme_has_the_two_commands():
    assert COMMANDS[:2] == ["make figures", "make test"]


def test_the_commands_run_in_order(fresh, audited, environment, tmp_path):
    checkout, whole = audited.copy(tmp_path / "repository"), fresh.copy(tmp_path / "whole")
    # The reader audits only now.
    shutil.rmtree(checkout.folder / "results/audit")
    shutil.rmtree(checkout.folder / "results/verdicts")
    for folder in (checkout.folder, whole.folder):
        (folder / ".venv").symlink_to(environment)
    for command in COMMANDS:
        if command == "make test":
            # The tests are running: collecting them once more is enough.
            whole.run("PYTEST_ADDOPTS='--collect-only --quiet' make test")
        elif "scale=paper" in command:
            # What that scale changes, the params of the smaller tree have not.
            whole.run(command)
        else:
            done = checkout.run(command.replace("/tmp/selectimprove-remote", f"{environment.parent}/remote"))
            assert "Traceback" not in done.stderr, command
    assert (checkout.folder / "results/audit/index.html").exists()
    assert checkout.planned() == {}


def test_the_table_is_the_published_one():
    # The committed one: a run of the reader's own may have published another.
    show = ["git", "show", ":results/tables/table1.md"]
    published = subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    published = published.split("\n\n", 1)[1].strip()
    shown = re.search(r"<!-- table1 -->\n(.*?)\n<!-- /table1 -->", README, re.S)[1].strip()
    assert shown == published


def test_every_picture_and_link_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
