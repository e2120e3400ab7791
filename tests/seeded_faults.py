"""Seeded faults: how many small mistakes in the code the quick tests catch.

Each fault changes one operator, constant or returned value of a module of `tasks`, `analysis`, `artifacts` or `dag`, drawn from a random seed, in
a copy of the repository. The quick tests then run on the copy, those first that import the module. A fault is caught if a test fails::

    python tests/seeded_faults.py --number 60 --seed 1
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = Path("workflow/selectimprove")
FOLDERS = ("tasks", "analysis", "artifacts", "dag")
SWAPPED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in", ast.NotIn: "in",
    ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*", ast.And: "or", ast.Or: "and",
}  # fmt: skip
LONGEST = 600
"""Seconds after which a fault counts as caught, as tests hang."""


@dataclass(frozen=True)
class Fault:
    """A replacement of part of a file's text."""

    path: Path
    line: int
    start: int
    end: int
    old: str
    new: str

    def apply(self, root: Path) -> None:
        text = (root / self.path).read_bytes()
        (root / self.path).write_bytes(text[: self.start] + self.new.encode() + text[self.end :])


def find_faults(path: Path) -> Iterator[Fault]:
    """List all faults that a file can be given."""
    source = (ROOT / path).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def offsets(node) -> tuple[int, int]:
        return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset

    def fault(node, start: int, end: int, new: str) -> Fault:
        return Fault(path, node.lineno, start, end, source[start:end].decode(), new)

    tree = ast.parse(source)
    annotations = {id(inner) for node in ast.walk(tree) for name in ("annotation", "returns") if getattr(node, name, None)
                   for inner in ast.walk(getattr(node, name))}  # fmt: skip
    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
            start, end = offsets(node.left)[1], offsets(node.comparators[0])[0]
            yield from _between(node, source, start, end, SWAPPED[type(node.ops[0])], fault)
        elif isinstance(node, ast.BinOp) and type(node.op) in SWAPPED and not isinstance(node.left, ast.JoinedStr):
            yield from _between(
                node, source, offsets(node.left)[1], offsets(node.right)[0], SWAPPED[type(node.op)], fault
            )
        elif isinstance(node, ast.BoolOp):
            start, end = offsets(node.values[0])[1], offsets(node.values[1])[0]
            yield from _between(node, source, start, end, SWAPPED[type(node.op)], fault)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            new = str(not node.value) if isinstance(node.value, bool) else repr(node.value + 1)
            yield fault(node, *offsets(node), new)
        elif isinstance(node, ast.Return) and node.value and not isinstance(node.value, ast.Constant):
            yield fault(node, *offsets(node.value), "None")


def _between(node, source: bytes, start: int, end: int, new: str, fault) -> Iterator[Fault]:
    """Replace an operator, where nothing but it and spaces stands between its operands."""
    text = source[start:end].decode()
    if "(" not in text and ")" not in text and "#" not in text:
        yield fault(node, start, end, f" {new} ")


def is_caught(fault: Fault, folder: Path) -> bool:
    """Run the quick tests on a copy with the fault, those first that name its module."""
    module = str(fault.path.relative_to(PACKAGE).with_suffix("")).replace("/", ".")
    names = {module, module.rpartition(".")[2], module.removesuffix(".__init__")}
    tests = sorted(
        (folder / "tests/unit").glob("test_*.py"),
        key=lambda p: (not any(f"selectimprove.{n}" in p.read_text() for n in names), p.name),
    )
    tests = [test for test in tests if test.name not in ("test_style.py", "test_rooms.py")]
    environment = os.environ | {"PYTHONPATH": str(folder / "workflow")}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *map(str, tests)]
    try:
        return (
            subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=LONGEST).returncode != 0
        )
    except subprocess.TimeoutExpired:
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    files = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / PACKAGE / folder).rglob("*.py"))
    drawn = random.Random(options.seed).sample([fault for path in files for fault in find_faults(path)], options.number)
    caught = 0
    for number, fault in enumerate(drawn, start=1):
        said = f"{fault.path}:{fault.line}: {fault.old.strip()!r} -> {fault.new.strip()!r}"
        if options.list:
            print(said)
            continue
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "repository")
            shutil.copytree(
                ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "results", ".snakemake", "__pycache__")
            )
            (copy / "results").mkdir()
            fault.apply(copy)
            found = is_caught(fault, copy)
        caught += found
        print(f"{number}: {'caught' if found else 'MISSED'}: {said}", flush=True)
    print(f"{caught} of {len(drawn)} caught")


if __name__ == "__main__":
    main()
