"""The house: few modules per folder, imports that go one way, and no module that hides several."""

import ast
from pathlib import Path

import pytest

from conftest import ROOT
from selectimprove.dag.table import STAGES

PACKAGE = ROOT / "workflow" / "selectimprove"
ROOMS = ("tasks", "config", "artifacts", "training", "analysis", "stages", "dag", "reports", "commands")
"""From the bottom up: a module imports from its own room and those before it."""
FOLDERS = sorted({path.parent for path in PACKAGE.rglob("*.py")})


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imported(path: Path) -> set[str]:
    """Name the rooms that a module imports from; what is loaded at run time by name counts as well as what is at the top."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("selectimprove."):
            rooms.add(node.module.split(".")[1])
    return rooms & set(ROOMS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(PACKAGE.parent)))
def test_a_folder_has_nine_modules_at_most(folder):
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    if folder.name == "stages":
        # One module per stage, however many there are, and nothing else.
        assert modules <= STAGES.keys()
    else:
        assert len(modules) <= 9


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    # Keys and records of artifacts are made below the stages, of whatever they import.
    found = {str(path.relative_to(PACKAGE)): imported(path) - allowed for path in (PACKAGE / room).rglob("*.py")}
    assert not {path: rooms for path, rooms in found.items() if rooms}


def test_modules_are_short():
    long = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {path: n for path, n in long.items() if n > 300}
