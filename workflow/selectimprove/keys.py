"""Keys: the digest of everything that an artifact is a function of.

An artifact lies at ``results/<stage>/<slug>-<digest>/``. The digest covers its config, the source of its stage and the keys
of its inputs, so a stale result cannot be found under a current key, and one that was computed before is found again.
Neither file times nor Snakemake's records have a say: after ``git clone`` and ``dvc pull`` there are none.

The source of a stage is its module and every module of this package that it imports, without comments, formatting and
docstrings. The modules in `FRAME` are left out: they say how a stage is run, not what it computes.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
FRAME = {
    "__init__",
    "arithmetic",
    "config",
    "keys",
    "params",
    "plan",
    "plan_compositions",
    "provenance",
    "publish",
    "stage",
}


class _WithoutDocstrings(ast.NodeTransformer):
    def generic_visit(self, node):
        super().generic_visit(node)
        # A string that stands alone documents what is above it; it does nothing. No body may be left empty.
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_documentation(statement)] or [ast.Pass()]
        return node


def _is_documentation(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def _undocumented(source: str) -> ast.Module:
    return _WithoutDocstrings().visit(ast.parse(source))


def canonical_source(source: str) -> str:
    """Return Python source without comments, formatting and docstrings."""
    return ast.unparse(_undocumented(source))


@cache
def imported_modules(source: str) -> frozenset[str]:
    """Name the modules of this package that a source imports, frame excluded."""
    names = set()
    for node in ast.walk(_undocumented(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith("selectimprove."):
                names.add(node.module.split(".")[1])
            elif node.module == "selectimprove":
                names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("selectimprove."))
    return frozenset(names - FRAME)


@cache
def module_source(module: str) -> str:
    return (PACKAGE / f"{module}.py").read_text()


@cache
def module_digest(module: str) -> str:
    return hashlib.sha256(canonical_source(module_source(module)).encode()).hexdigest()


@cache
def source_digests(modules: frozenset[str]) -> dict[str, str]:
    """Return the digest of each of some modules and of all that they import, directly or not."""
    digests, waiting = {}, set(modules)
    while waiting:
        module = waiting.pop()
        digests[module] = module_digest(module)
        waiting |= imported_modules(module_source(module)) - set(digests)
    return dict(sorted(digests.items()))


def notebook_source(path: Path) -> str:
    """Return the code of a notebook, cells joined; outputs and prose do not count."""
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def digest(content) -> str:
    """Return 10 hexadecimal digits of the SHA-256 of a JSON-like value."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]
