"""Read notebooks and users' modules without running them.

A module counts in keys together with everything that it imports, directly or not, from its own top folder. Imports by
computed names do not count. This module needs only the standard library, as do keys.
"""

import ast
import importlib
import json
import math
import os.path
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from selectimprove.errors import ParamsError

ROOT = Path(__file__).parents[3]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@dataclass(frozen=True)
class Notebook:
    """A notebook: code cells, the literals in the cell tagged ``parameters``, its language and `checks.Needs`."""

    path: str
    cells: list[str]
    parameters: dict
    language: str | None
    needs: object

    @property
    def kind(self) -> str | None:
        """The section of the params for what it writes; None if its code does not show that."""
        code = "\n".join(self.cells)
        return "figures" if re.search(r"save_?fig|\.png", code) else "tables" if "body.md" in code else None


def notebook_path(name: str) -> Path:
    """Return the path of a notebook."""
    return NOTEBOOKS / f"{name}.ipynb"


def read_notebook(path: Path) -> Notebook:
    """Read a notebook of format 4; anything else is a ParamsError."""
    name = f"workflow/notebooks/{path.name}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        line = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise ParamsError(f"{name}: {line}not JSON, as a notebook is") from None
    try:
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        code = ["".join(cell["source"]) for cell in cells]
        tags = [cell.get("metadata", {}).get("tags", ()) for cell in cells]
        metadata = content.get("metadata", {})
        kernel, language = (metadata.get(part, {}) for part in ("kernelspec", "language_info"))
        needs = metadata.get("selectimprove", {}).get("needs", {})
        written_in = language.get("name") or kernel.get("language")
    except (TypeError, KeyError, AttributeError):
        raise ParamsError(f"{name}: not a notebook of format 4") from None
    parameters = {}
    for source, tagged in zip(code, tags, strict=True):
        parameters |= _literals(source) if "parameters" in tagged else {}
    return Notebook(name, code, parameters, written_in, needs)


def _literals(source: str) -> dict:
    """Return the names to which code assigns a literal, with their values."""
    found = {}
    with suppress(SyntaxError, ValueError):
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                with suppress(ValueError):
                    found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


def find_module(module: str) -> Path | None:
    """Find the file of a module or package, in the repository or installed."""
    for folder in (ROOT, *map(Path, sys.path)):
        path = folder.joinpath(*module.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            # Unlike `Path.is_file`, it accepts names that are too long for a file.
            if os.path.isfile(file):
                return file
    return None


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def read_source(path: Path) -> str:
    """Read a Python file in the encoding that it declares; a ParamsError if it is not Python."""
    try:
        with tokenize.open(path) as file:
            source = file.read()
        ast.parse(source)
    except (OSError, ValueError, SyntaxError) as error:
        line = f"line {error.lineno}: " if getattr(error, "lineno", None) else ""
        raise ParamsError(f"{_shown(path)}: {line}not Python: {getattr(error, 'msg', error)}") from None
    return source


def _imported(module: str, path: Path) -> Iterator[str]:
    """Name everything that a module imports: modules, and names that may be modules."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(read_source(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


@cache
def source_files(module: str) -> dict[str, Path]:
    """Find the files in a module's top folder that importing it runs: its own, its imports' and its packages'."""
    top = module.partition(".")[0]
    found, waiting = {}, {module}
    while waiting:
        name = waiting.pop()
        path = find_module(name)
        if path is None or name in found:
            continue
        found[name] = path
        waiting |= {name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)}
        waiting |= {used for used in _imported(name, path) if used.partition(".")[0] == top}
    return found


def find_mistake(name: str, *arguments: str) -> str | None:
    """Say what is wrong with a function's name, ``package.module:function``; its module is not imported.

    If the arguments that it will be given are named, their number is compared with its parameters.
    """
    module, _, function = name.partition(":")
    path = find_module(module)
    if path is None:
        file = f"{module.replace('.', '/')}.py"
        return f"there is no module {module}: neither {file} in the repository, nor is it installed"
    try:
        source_files(module)
    except ParamsError as error:
        return str(error)
    nodes = list(ast.walk(ast.parse(read_source(path))))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    imported = [node.asname or node.name for node in nodes if isinstance(node, ast.alias)]
    assigned = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    for node in nodes:
        if arguments and isinstance(node, ast.FunctionDef) and node.name == function:
            positional = [*node.args.posonlyargs, *node.args.args]
            fewest = len(positional) - len(node.args.defaults)
            most = math.inf if node.args.vararg else len(positional)
            if not fewest <= len(arguments) <= most or None in node.args.kw_defaults:
                takes = f"takes ({ast.unparse(node.args)}), but is given ({', '.join(arguments)})"
                return f"{_shown(path)}: line {node.lineno}: {function} {takes}"
    if {function, "*"} & {*functions, *imported, *assigned}:
        return None
    return f"{_shown(path)} has no function '{function}'; it has {', '.join(functions[:8]) or 'none'}"


def load_module(module: str) -> ModuleType:
    """Import a user's module; a ParamsError if there is none, or if Python finds another with this name."""
    if (path := find_module(module)) is None:
        raise ParamsError(find_mistake(module))
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    loaded = importlib.import_module(module)
    if Path(loaded.__file__ or "").resolve() != path.resolve():
        raise ParamsError(f"{_shown(path)}: to Python, {module} is {loaded.__file__}; choose another name")
    return loaded


def load_function(name: str) -> Callable:
    """Import a user's function; a ParamsError if there is none."""
    module, _, function = name.partition(":")
    found = getattr(load_module(module), function, None)
    if not callable(found):
        raise ParamsError(find_mistake(name) or f"{name} is not a function")
    return found
