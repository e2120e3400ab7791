"""Keys: the digest of everything that an artifact is a function of.

An artifact lies at ``results/<stage>/<slug>-<digest>/``. The digest covers its config, the source of its stage and the keys
of its inputs, so a stale result cannot be found under a current key, and one that was computed before is found again.
Neither file times nor Snakemake's records have a say: after ``git clone`` and ``dvc pull`` there are none.

The source of a stage is its module, the modules that its config has it load by name, and every module of this package that these
import, without comments, formatting and docstrings. A module of the user's own counts with what it imports of its own top folder. What only says how a stage is run, or types a config, is left out (`is_frame`). A key is
the same on every machine and under every Python from 3.11 on; vector instructions and threads, which could change a result,
are pinned (`selectimprove.artifacts.arithmetic`, `selectimprove.training.trainer`).
"""

import ast
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from selectimprove.config.sources import read_notebook, read_source, source_files
from selectimprove.errors import ParamsError

PACKAGE = Path(__file__).parents[1]
FRAME_ROOMS = {"artifacts", "config", "dag", "reports"}
OWN = "own:"
"""Before the name of a module of the user's own; the others are of this package."""


def is_frame(module: str) -> bool:
    """Tell whether a module, named without the package, computes nothing of a result."""
    room, _, inner = module.partition(".")
    return (
        room in FRAME_ROOMS
        or module in ("", "errors", "types", "stages", "tasks.interface")
        or inner.endswith(".settings")
    )


def _is_documentation(statement) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _describe(node):
    """Describe a syntax tree by nested lists that no version of Python writes otherwise: what is empty or for display is left out."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment"))
        return [type(node).__name__, *([name, _describe(value)] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        # A string that stands alone documents what is above it; it does nothing.
        return [_describe(item) for item in node if not _is_documentation(item)]
    return [type(node).__name__, repr(node)]


@cache
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


@cache
def canonical_source(source: str) -> str:
    """Return what Python source says, without comments, formatting and docstrings."""
    return json.dumps(_describe(_parse(source)))


def module_path(module: str) -> Path:
    """Return the file of a module of this package, or of its folder."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def imported_modules(source: str) -> frozenset[str]:
    """Name the modules of this package that a source imports, frame excluded."""
    names = set()
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "selectimprove":
            inner = node.module.partition(".")[2]
            # What is imported from a folder may be a module of it.
            within = {".".join(filter(None, (inner, alias.name))) for alias in node.names}
            modules = {module for module in within if module_path(module).is_file()}
            names |= modules
            if within - modules:
                names.add(inner)
        elif isinstance(node, ast.Import):
            names |= {
                name.partition(".")[2]
                for name in (alias.name for alias in node.names)
                if name.startswith("selectimprove.")
            }
    return frozenset(name for name in names if not is_frame(name))


@cache
def module_source(module: str) -> str:
    """Return the source of a module of this package, named without it."""
    return module_path(module).read_text(encoding="utf-8")


@cache
def module_digest(module: str) -> str:
    """Return the SHA-256 of what the source of a module says."""
    return hashlib.sha256(canonical_source(module_source(module)).encode()).hexdigest()


def _own_digests(modules: set[str]) -> dict[str, str]:
    files = {name: path for module in modules for name, path in source_files(module.removeprefix(OWN)).items()}
    return {
        f"{OWN}{name}": hashlib.sha256(canonical_source(read_source(path)).encode()).hexdigest()
        for name, path in files.items()
    }


@cache
def source_digests(modules: frozenset[str]) -> dict[str, str]:
    """Return the digest of each of some modules and of all that they import, directly or not."""
    own = {module for module in modules if module.startswith(OWN)}
    digests, waiting, folders = _own_digests(own), set(modules - own), set()
    while waiting:
        module = waiting.pop()
        digests[module] = module_digest(module)
        # Importing a module runs the folders above it. The folder of a task counts without its imports: it imports all aspects
        # to put the task together, and `aspect_modules` names those that a stage uses.
        above = {module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)}
        folders |= {folder for folder in above if not is_frame(folder)}
        used = imported_modules(module_source(module)) | {f for f in folders if not f.startswith("tasks.")}
        waiting |= used - set(digests)
    digests |= {folder: module_digest(folder) for folder in folders}
    return dict(sorted(digests.items()))


def notebook_source(path: Path) -> str:
    """Return the code of a notebook, cells joined; outputs and prose do not count, and IPython's magics count as text.

    Raises
    ------
    ParamsError
        If it is no notebook, or a cell is neither Python nor magics.
    """
    sources = []
    for number, source in enumerate(read_notebook(path).cells, start=1):
        magic = r"^(\s*)([%!].*)$"
        source = (
            repr([source])
            if source.startswith("%%")
            else re.sub(magic, lambda m: m[1] + repr([m[2]]), source, flags=re.M)
        )
        try:
            ast.parse(source)
        except (SyntaxError, ValueError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            raise ParamsError(
                f"workflow/notebooks/{path.name}: code cell {number}{line}: not Python: {getattr(error, 'msg', error)}"
            ) from None
        sources.append(source)
    return "\n".join(sources)


def digest(content) -> str:
    """Return 10 hexadecimal digits of the SHA-256 of a JSON-like value."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def artifact_digest(config: dict, modules: frozenset[str], inputs: dict[str, str]) -> str:
    """Return the key of an artifact.

    Parameters
    ----------
    config : dict
        JSON-like.
    modules : frozenset of str
        The stage's module and those that its config has it load.
    inputs : dict of str to str
        Names of the input artifacts, which end with their keys, by role.
    """
    return digest({"config": config, "source": source_digests(modules), "inputs": inputs})
