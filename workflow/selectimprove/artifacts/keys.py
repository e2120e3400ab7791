"""Keys: digests of everything that an artifact is a function of.

An artifact lies at ``results/<stage>/<slug>-<digest>/``. The digest covers its config, the source of its stage and the
keys of its inputs; file times and Snakemake's records do not count, since ``git clone`` and ``dvc pull`` lose them.

The source of a stage is its module, the modules that its config makes it load by name, and every module of this package
that these import. Comments, formatting, docstrings and the modules in `LEFT_OUT` do not count. A module of the user's
own counts with all that it imports from its own top folder. A key is the same on every machine and under every Python
from 3.11 on; digests need nothing but the standard library.
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
OWN = "own:"
"""Prefix of the names of the user's own modules; the others are of this package."""
LEFT_OUT = {
    "": "pins arithmetic where the package is imported; a stage does so itself",
    "errors": "words of messages",
    "types": "types of configs, whose values are in the key",
    "stages": "starts a stage's process",
    "artifacts.runner": "hands a stage the config and inputs of its key, and refuses others",
    "artifacts.provenance": "records how an artifact was made, and compares hashes",
    "config.params": "types of configs, and makes them",
    "config.sections": "types of configs",
    "config.training": "types of configs",
    "config.stages": "types of configs, and the lengths of trainings",
    "config.loading": "reads params and claims, which are in configs",
    "config.messages": "words of messages",
    "config.sources": "finds a module of the user's own, whose source is in the key",
}
"""Modules that keys leave out, each with the reason; tests/key_mutants.py checks that none of them computes."""


def _is_documentation(statement) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _describe(node):
    """Return a syntax tree as nested lists without empty fields, which are the same under every Python."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment"))
        return [type(node).__name__, *([name, _describe(value)] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        # A string that is a statement of its own is documentation.
        return [_describe(item) for item in node if not _is_documentation(item)]
    return [type(node).__name__, repr(node)]


@cache
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


@cache
def canonical_source(source: str) -> str:
    """Return Python source without comments, formatting and docstrings."""
    return json.dumps(_describe(_parse(source)))


def module_path(module: str) -> Path:
    """Return the file of a module of this package, or of its folder."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def imported_modules(source: str) -> frozenset[str]:
    """Name the modules of this package that a source imports, without those in `LEFT_OUT`."""
    names = set()
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "selectimprove":
            inner = node.module.partition(".")[2]
            # A name that is imported from a folder may be a module in it.
            within = {".".join(filter(None, (inner, alias.name))) for alias in node.names}
            modules = {module for module in within if module_path(module).is_file()}
            names |= modules
            if within - modules:
                names.add(inner)
        elif isinstance(node, ast.Import):
            imported = [alias.name.partition(".") for alias in node.names]
            names |= {inner for package, _, inner in imported if package == "selectimprove" and inner}
    return frozenset(names - LEFT_OUT.keys())


@cache
def module_source(module: str) -> str:
    """Return the source of a module of this package, named without it."""
    return module_path(module).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    return hashlib.sha256(canonical_source(source).encode()).hexdigest()


@cache
def module_digest(module: str) -> str:
    """Return the SHA-256 of a module's canonical source."""
    return _hash(module_source(module))


@cache
def source_digests(modules: frozenset[str]) -> dict[str, str]:
    """Return the digest of each module and of every module that it imports, directly or not."""
    own = {module for module in modules if module.startswith(OWN)}
    files = {name: path for module in own for name, path in source_files(module.removeprefix(OWN)).items()}
    digests = {f"{OWN}{name}": _hash(read_source(path)) for name, path in files.items()}
    waiting, tasks = set(modules - own), set()
    while waiting:
        module = waiting.pop()
        digests[module] = module_digest(module)
        # Importing a module also runs the packages above it. A task's package imports all aspects of the task, so it
        # counts without its imports; `aspect_modules` names the aspects that a stage uses.
        above = {module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)} - LEFT_OUT.keys()
        tasks |= {folder for folder in above if folder.startswith("tasks.")}
        waiting |= (imported_modules(module_source(module)) | above - tasks) - digests.keys()
    digests |= {folder: module_digest(folder) for folder in tasks}
    return dict(sorted(digests.items()))


def notebook_source(path: Path) -> str:
    """Return the code cells of a notebook, joined; IPython's magics are replaced by their text as literals."""
    sources = []
    for number, source in enumerate(read_notebook(path).cells, start=1):
        if source.startswith("%%"):
            source = repr([source])
        else:
            source = re.sub(r"^(\s*)([%!].*)$", lambda magic: magic[1] + repr([magic[2]]), source, flags=re.M)
        try:
            ast.parse(source)
        except (SyntaxError, ValueError) as error:
            raise ParamsError(f"workflow/notebooks/{path.name}: code cell {number}: not Python: {error}") from None
        sources.append(source)
    return "\n".join(sources)


def digest(content) -> str:
    """Return 10 hexadecimal digits of the SHA-256 of a JSON-like value."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def loaded_by_name(config) -> frozenset[str]:
    """Name the modules, without the package, that a config makes its stage load; the user's own begin with `OWN`."""
    # It imports pydantic, which the rest of this module does without.
    from selectimprove.tasks.interface import aspect_modules

    modules = set(getattr(config, "notebook_modules", []))
    for part in (config, *getattr(config, "tasks", {}).values()):
        if hasattr(part, "task_name"):
            modules = modules.union(*(aspect_modules(part.task_name, aspect) for aspect in part.aspects))
    if hasattr(config, "sampling"):
        modules.add(f"training.engine_{config.sampling.engine}")
    if hasattr(config, "arithmetic"):
        modules.add("artifacts.arithmetic")
    if rl := getattr(config, "rl", None):
        modules.add(f"training.{rl.method}")
        if rl.own_reward:
            modules.add(OWN + rl.own_reward.partition(":")[0])
    return frozenset(modules)


def artifact_digest(config: dict, modules: frozenset[str], inputs: dict[str, str]) -> str:
    """Return the key of an artifact; `inputs` holds the names of the input artifacts by role."""
    return digest({"config": config, "source": source_digests(modules), "inputs": inputs})
