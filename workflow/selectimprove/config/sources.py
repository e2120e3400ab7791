"""Read notebooks and modules of users without running them.

A module counts in keys with what it imports of its own top folder, directly or not. Imports by names that are put
together at run time do not count. Only the standard library is imported here: keys need no more, under every Python.
"""

import ast
import importlib
import json
import os.path
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
    """A notebook: its code cells, the literals of the cell tagged ``parameters``, and two of its metadata."""

    path: str
    cells: list[str]
    parameters: dict
    language: str | None
    needs: object


def notebook_path(name: str) -> Path:
    """Return the notebook of a name."""
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
    code, parameters, where = [], {}, "not a notebook of format 4: it has no list of cells"
    try:
        for number, cell in enumerate(content["cells"], start=1):
            where = f"cell {number}: not a cell of format 4, with a cell_type and its source as text"
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                code.append(source)
                parameters |= _literals(source) if "parameters" in cell.get("metadata", {}).get("tags", ()) else {}
        where = "metadata: expected keys with values"
        metadata = content.get("metadata", {})
        kernel, language = (metadata.get(part, {}) for part in ("kernelspec", "language_info"))
        needs = metadata.get("selectimprove", {}).get("needs", {})
        return Notebook(name, code, parameters, language.get("name") or kernel.get("language"), needs)
    except (TypeError, KeyError, AttributeError):
        raise ParamsError(f"{name}: {where}") from None


def _literals(source: str) -> dict:
    """Read what code assigns to names where that is a literal."""
    found = {}
    with suppress(SyntaxError, ValueError):
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                with suppress(ValueError):
                    found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


def find_module(module: str) -> Path | None:
    """Return the file of a module or folder of modules, in the repository or installed."""
    for folder in (ROOT, *map(Path, sys.path)):
        path = folder.joinpath(*module.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            # Unlike pathlib, false for a name that is too long for a file.
            if os.path.isfile(file):
                return file
    return None


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def read_source(path: Path) -> str:
    """Read a file, in the encoding that it declares; one that is not Python is a ParamsError."""
    try:
        with tokenize.open(path) as file:
            source = file.read()
        ast.parse(source)
    except (OSError, ValueError, SyntaxError) as error:
        line = f"line {error.lineno}: " if getattr(error, "lineno", None) else ""
        raise ParamsError(f"{_shown(path)}: {line}not Python: {getattr(error, 'msg', error)}") from None
    return source


def _imported(module: str, path: Path) -> Iterator[str]:
    """Name all that a module imports: modules, and names that may be modules."""
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
    """Find the files that a module runs of its own top folder: its own, its imports, and those of the folders above."""
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


def find_mistake(name: str) -> str | None:
    """Say what is wrong with the name of a function, ``package.module:function``, without importing its module."""
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
    if {function, "*"} & {*functions, *imported, *assigned}:
        return None
    return f"{_shown(path)} has no function '{function}'; it has {', '.join(functions[:8]) or 'none'}"


def load_module(module: str) -> ModuleType:
    """Import a module of a user's; a ParamsError if there is none, or Python finds another of this name."""
    if (path := find_module(module)) is None:
        raise ParamsError(find_mistake(module))
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    loaded = importlib.import_module(module)
    if Path(loaded.__file__ or "").resolve() != path.resolve():
        raise ParamsError(f"{_shown(path)}: to Python, {module} is {loaded.__file__}; choose another name")
    return loaded


def load_function(name: str) -> Callable:
    """Import a function of a user's; a ParamsError if there is none."""
    module, _, function = name.partition(":")
    found = getattr(load_module(module), function, None)
    if not callable(found):
        raise ParamsError(find_mistake(name) or f"{name} is not a function")
    return found
