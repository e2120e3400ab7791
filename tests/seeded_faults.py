"""Seeded faults: how many small mistakes in the code the quick tests catch.

Each fault changes one operator, constant or returned value of a module of `tasks`, `analysis`, `artifacts` or `dag`, drawn from a random seed, in
a copy of the repository. The quick tests then run on the copy, those first that import the module. A fault is caught if a test fails::

    python tests/seeded_faults.py --number 60 --seed 1

A fault that no test catches takes as long as all of them. A record of which test runs which line spares most of them (`coverage` and `pytest-cov`)::

    pytest tests/unit --cov selectimprove --cov-context test --cov-report= && python tests/seeded_faults.py --coverage .coverage

Then the tests run that the record names for the line, and after them the files that name the module or start processes, whose lines are not recorded.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
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
LONGEST = 1800
"""Seconds after which a fault counts as caught, as tests hang."""
LEFT_OUT = ("test_style.py", "test_rooms.py")
"""Tests of the text of modules, which would see the change itself."""


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


class Lines:
    """Which tests run which lines, as `coverage` has recorded it with a context per test."""

    def __init__(self, file: str):
        from coverage import CoverageData

        data = CoverageData(file)
        data.read()
        self.tests = {
            path.partition("workflow/")[2]: {
                line: {re.sub(r"[\[|].*", "", name) for name in names if name}
                for line, names in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        }
        self.n_lines = Counter(name for lines in self.tests.values() for names in lines.values() for name in names)

    def covering(self, fault: Fault) -> list[str]:
        """List the tests that run a line, those first that run little else; of a line that runs at import, of its module."""
        lines = self.tests.get(str(fault.path.relative_to("workflow")), {})
        names = set().union(*(lines.get(line, ()) for line in statement_lines(fault))) or set().union(*lines.values())
        names = {name for name in names if Path(name.partition("::")[0]).name not in LEFT_OUT}
        return sorted(names, key=lambda name: (self.n_lines[name], name))


def statement_lines(fault: Fault) -> range:
    """Return the lines of the statement that a fault changes; of one that holds others, those of its head."""
    statements = [node for node in ast.walk(ast.parse((ROOT / fault.path).read_bytes())) if isinstance(node, ast.stmt)]
    around = [s for s in statements if s.lineno <= fault.line <= s.end_lineno]
    if not around:
        # A decorator stands above its function or class.
        return range(fault.line, fault.line + 1)
    inner = max(around, key=lambda s: s.lineno)
    body = getattr(inner, "body", None)
    return range(inner.lineno, max(body[0].lineno, inner.lineno + 1) if body else inner.end_lineno + 1)


def rounds(fault: Fault, folder: Path, lines: Lines | None) -> Iterator[list[str]]:
    """List the tests to run on a copy, in the order in which they are likely to catch a fault."""
    module = str(fault.path.relative_to(PACKAGE).with_suffix("")).replace("/", ".")
    names = {module, module.rpartition(".")[2], module.removesuffix(".__init__")}
    files = [path for path in sorted((folder / "tests/unit").glob("test_*.py")) if path.name not in LEFT_OUT]
    naming = [path for path in files if any(f"selectimprove.{name}" in path.read_text() for name in names)]
    others = [path for path in files if path not in naming]
    if lines:
        yield lines.covering(fault)
        others = [path for path in others if "subprocess" in path.read_text()]
    yield [str(path.relative_to(folder)) for path in [*naming, *others]]


def find_failure(fault: Fault, folder: Path, lines: Lines | None) -> str:
    """Run the quick tests on a copy with the fault; returns the name of one that fails, or nothing."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "workflow"), *sys.path[1:]])}
    for tests in filter(None, rounds(fault, folder, lines)):
        (folder / "tests.txt").write_text("\n".join(tests))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "@tests.txt"]
        try:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return f"nothing within {LONGEST} seconds"
        if done.returncode:
            found = re.search(r"^(FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
            return found[2] if found else "the start of the tests"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--coverage", help="a record of which test runs which line")
    options = parser.parse_args()
    lines = Lines(options.coverage) if options.coverage else None
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
            failure = find_failure(fault, copy, lines)
        caught += bool(failure)
        print(f"{number}: {f'caught by {failure}' if failure else 'MISSED'}: {said}", flush=True)
    print(f"{caught} of {len(drawn)} caught")


if __name__ == "__main__":
    main()
