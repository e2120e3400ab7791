"""What is read may be another's: nothing that is read can run code."""

import ast
import re

import pytest

from conftest import ROOT

MODULES = sorted((ROOT / "workflow/selectimprove").rglob("*.py")) + sorted((ROOT / "envs").glob("*.py"))
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle", "pandas.read_pickle"}
UNSAFE_ARGUMENTS = {"trust_remote_code", "allow_pickle"}


def unsafe(source: str) -> list[str]:
    """List what in a module could run code that it reads, with lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                words = {alias.name.partition(".")[0] for alias in names} & UNSAFE_MODULES
            case ast.ImportFrom(module=str(module)):
                imported = {f"{module}.{alias.name}" for alias in node.names}
                words = ({module.partition(".")[0]} & UNSAFE_MODULES) | (imported & UNSAFE_CALLS)
            case ast.Call(func=function):
                arguments = {word.arg for word in node.keywords if not is_false(word.value)}
                words = ({ast.unparse(function)} & UNSAFE_CALLS) | (arguments & UNSAFE_ARGUMENTS)
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                words = {
                    k.value for k, v in pairs if isinstance(k, ast.Constant) and not is_false(v)
                } & UNSAFE_ARGUMENTS
            case _:
                continue
        found += [f"{node.lineno}: {word}" for word in sorted(words)]
    return found


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import load",
        "from torch import load",
        "torch.load('a.pt')",
        "yaml.load(text, Loader=yaml.Loader)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
        "np.load('a.npy', allow_pickle=allowed)",
    ],
)
def test_what_is_unsafe_is_found(source):
    assert len(unsafe(source)) == 1


def test_what_is_safe_is_not():
    assert not unsafe("import yaml\nyaml.safe_load(text)\nAutoModel.from_pretrained(name, trust_remote_code=False)")


def test_no_module_runs_what_it_reads():
    assert not [f"{path.relative_to(ROOT)}:{line}" for path in MODULES for line in unsafe(path.read_text())]


def test_the_page_puts_generations_in_as_text():
    """A completion may hold ``</script><img onerror=…>``."""
    page = ROOT / "workflow/page"
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|DOMParser|createContextualFragment"
    assert not re.findall(sinks, (page / "page.js").read_text())
    # JSON, in which `write_page` leaves no "<".
    assert re.findall(r"\{\{([^}]*)\|\s*safe", (page / "index.html.jinja").read_text()) == [" excerpt_rows "]
