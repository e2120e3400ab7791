"""A function of a user's own, named in the params as ``package.module:function``.

Before anything starts it is found without being imported. The module lies below the root of the repository, or is installed. With it counts
what it imports of its own top folder, directly or not; what it imports from elsewhere does not count, nor does what it imports by a name that it puts together.
"""

import ast
import importlib
import os.path
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from selectimprove.errors import ParamsError

ROOT = Path(__file__).parents[4]
SHOWN = 8
"""Functions of a module that are named where another is asked for."""


def find_module(module: str) -> Path | None:
    """Return the file of a module, or of its folder: below the root of the repository, else where Python looks."""
    for folder in (ROOT, *map(Path, sys.path)):
        path = folder.joinpath(*module.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            # Unlike pathlib, false for a name that is too long for a file.
            if os.path.isfile(file):
                return file
    return None


def shown_path(path: Path) -> str:
    """Name a file as people do: from the root of the repository, if it is in it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def read_source(path: Path) -> str:
    """Read a file of Python.

    Raises
    ------
    ParamsError
        If it is none.
    """
    try:
        source = path.read_text(encoding="utf-8")
        ast.parse(source)
    except (OSError, ValueError, SyntaxError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        raise ParamsError(f"{shown_path(path)}: {line}not Python: {getattr(error, 'msg', error)}") from None
    return source


def _imported(module: str, path: Path) -> Iterator[str]:
    """Name all that a module imports: modules, and what may be one."""
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
    """Find the files whose code a module runs, of its own top folder: its own, those that it imports, and those of the folders above them.

    Raises
    ------
    ParamsError
        If one of them is not Python.
    """
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


def _names(body: list[ast.stmt]) -> Iterator[str]:
    """List the names that a module has, ``*`` for those that only an import could tell."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        else:
            yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
            for inner in ("body", "orelse", "finalbody"):
                yield from _names(getattr(node, inner, []))
            for handler in getattr(node, "handlers", []):
                yield from _names(handler.body)


def find_mistake(name: str) -> str | None:
    """Say what is wrong with a function's name, without importing its module; None if it can be found."""
    module, _, function = name.partition(":")
    path = find_module(module)
    if path is None:
        return (
            f"there is no module {module}: neither {module.replace('.', '/')}.py in the repository, nor is it installed"
        )
    try:
        source_files(module)
    except ParamsError as error:
        return str(error)
    body = ast.parse(read_source(path)).body
    names = set(_names(body))
    if function in names or "*" in names:
        return None
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    more = ", …" if len(functions) > SHOWN else ""
    return f"{shown_path(path)} has no function '{function}'; it has {', '.join(functions[:SHOWN]) or 'none'}{more}"


def load_module(module: str) -> ModuleType:
    """Import a module of a user's own.

    Raises
    ------
    ParamsError
        If it cannot be found, or Python has another module of this name.
    """
    path = find_module(module)
    if path is None:
        raise ParamsError(find_mistake(module))
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    loaded = importlib.import_module(module)
    if Path(loaded.__file__ or "").resolve() != path.resolve():
        raise ParamsError(f"{shown_path(path)}: to Python, {module} is {loaded.__file__}; choose another name")
    return loaded


def load_function(name: str) -> Callable:
    """Import a function of a user's own.

    Raises
    ------
    ParamsError
        If there is none of this name.
    """
    module, _, function = name.partition(":")
    found = getattr(load_module(module), function, None)
    if not callable(found):
        raise ParamsError(find_mistake(name) or f"{name} is no function")
    return found
