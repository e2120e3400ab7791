"""Every command of README and of the documents that it links to, run; and the table of results, which must be the published one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "workflow/docs").glob("*.md"))]


def commands_of(page: Path) -> list[str]:
    """Read the commands of a page in their order; a block of Python is one, but for the cells of a notebook."""
    commands = []
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", page.read_text(), re.S):
        if block.startswith("# %%"):
            continue
        if language == "python":
            commands.append(f"python - <<'END'\n{block}END")
        else:
            commands += [line.split("  #")[0].strip() for line in block.splitlines()]
    return commands


COMMANDS = {page.name: commands_of(page) for page in PAGES}


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


def test_the_readme_begins_with_the_two_commands_and_is_short():
    assert COMMANDS["README.md"][:2] == ["make figures", "make plan"]
    assert len(README.read_text().split()) <= 900


def test_the_commands_run_in_order(fresh, audited, environment, tmp_path):
    checkout, whole = audited.copy(tmp_path / "repository"), fresh.copy(tmp_path / "whole")
    # The reader audits only now.
    shutil.rmtree(checkout.published / "audit")
    shutil.rmtree(checkout.folder / "results/verdicts")
    for folder in (checkout.folder, whole.folder):
        (folder / ".venv").symlink_to(environment)
    for command in dict.fromkeys(command for commands in COMMANDS.values() for command in commands):
        if "scale=paper" in command:
            # What that scale changes, the params of the smaller tree have not.
            whole.run(command)
        else:
            # One artifact that a model made shows as well as all that the command works.
            command = command.replace("spot: all", "spot: 1")
            if command.startswith("python -"):
                # The package that is installed is that of the tests' own checkout.
                command = f"PYTHONPATH=$PWD/workflow {command}"
            done = checkout.run(command.replace("/tmp/selectimprove-remote", f"{environment.parent}/remote"))
            assert "Traceback" not in done.stderr, command
    # The tests are running: collecting a few once more is enough.
    for target in ("test", "test-fast"):
        collected = whole.run(
            f"PYTEST_ADDOPTS='--collect-only --quiet --ignore-glob=*/test_[!f]*' make {target}"
        ).stdout
        assert "test_field.py" in collected
    assert (checkout.published / "audit/index.html").exists()
    assert checkout.planned() == {}


def test_the_python_in_the_documents_asks_a_trained_model(smoke):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "workflow/docs/prompts.md").read_text(), re.S)
    assert len(blocks) == 1
    printed = smoke.run(f"{sys.executable} - <<'END'\n{blocks[0]}END").stdout.splitlines()
    assert len(printed) == 3
    # At this scale responses mean nothing, but they are made of the task's words.
    assert all(re.match(r"[a-z]+|[-+*/]?[es]\d+", word) for line in printed for word in line.split())


@pytest.mark.parametrize("name", ["table1", "interventions"])
def test_the_tables_are_the_published_ones(name):
    # The committed one: a run of the reader's own may have published another.
    show = ["git", "show", f":results/tables/{name}.md"]
    published = subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    published = published.split("\n\n", 1)[1].strip()
    results = (ROOT / "workflow/docs/results.md").read_text()
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", results, re.S)[1].strip()
    assert shown == published


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_link_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
