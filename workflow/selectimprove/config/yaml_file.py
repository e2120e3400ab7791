"""Read YAML 1.2 with the line of every key, so that messages can say where a value is."""

import re
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from selectimprove.errors import ParamsError, one_line

PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}
MOST_VALUES = 100_000
"""Keys and values of a file; aliases of aliases can expand to more than memory holds."""


@dataclass(frozen=True)
class YamlFile:
    """A file's mapping, and the place of each dotted key: ``params.yaml: line 7``. Items of a list are numbered."""

    name: str
    content: dict
    places: dict[str, str]

    def place(self, key: str) -> str:
        """Say where a key is, or the innermost key around it that the file has."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, self.name)


def read_yaml(path: Path, name: str | None = None) -> YamlFile:
    """Read a file that holds a mapping; messages call it `name`. Anything else is a ParamsError."""
    name = name or path.name
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ParamsError(f"{name}: cannot be read: {error.strerror}") from None
    if conflict := re.search(rb"^[<>]{7} ", text, re.MULTILINE):
        raise ParamsError(f"{_place(name, text, conflict.start())}: a merge conflict is left here; resolve it")
    places: dict[str, str] = {}
    try:
        parser = YAML(typ="safe", pure=True)
        root = parser.compose(text.decode("utf-8"))
        _note_places(root, "", name, places)
        content = root and parser.constructor.construct_document(root)
    except ParamsError:
        raise
    except UnicodeDecodeError as error:
        raise ParamsError(f"{_place(name, text, error.start)}: not UTF-8 text") from None
    except RecursionError:
        raise ParamsError(f"{name}: nested too deeply") from None
    except (YAMLError, ValueError) as error:
        place, what = name, str(error).partition("\n")[0]
        if isinstance(error, MarkedYAMLError):
            mark = error.problem_mark or error.context_mark
            place, what = f"{name}: line {mark.line + 1}", error.problem.partition(" with value ")[0]
        elif isinstance(error, ReaderError):
            place = _place(name, text, error.position)
        raise ParamsError(f"{place}: not YAML: {one_line(what)}") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else one_line(repr(content))
        raise ParamsError(f"{name}: expected keys with values, found {found}")
    return YamlFile(name, content, places)


def _place(name: str, text: bytes, position: int) -> str:
    line = text.count(b"\n", 0, position) + 1
    return f"{name}: line {line}"


def _note_places(node: Node | None, key: str, name: str, places: dict[str, str]) -> None:
    """Note where each key is; refuse dates, sets and other types that no value has."""
    if len(places) > MOST_VALUES:
        raise ParamsError(f"{name}: more than {MOST_VALUES} keys and values")
    if node is not None and node.tag not in PLAIN_TAGS:
        kind = node.tag.rpartition(":")[2]
        raise ParamsError(f"{places.get(key, name)}: {key}: YAML reads a {kind} here; put text in quotes")
    pairs = []
    if isinstance(node, MappingNode):
        pairs = [(name_node.value, name_node, value) for name_node, value in node.value]
    elif isinstance(node, SequenceNode):
        pairs = [(number, item, item) for number, item in enumerate(node.value)]
    for part, start, value in pairs:
        inner = f"{key}.{part}" if key else str(part)
        places[inner] = f"{name}: line {start.start_mark.line + 1}"
        _note_places(value, inner, name, places)


def read_scalars(values):
    """Read the texts in nested values as a file would be read, where that gives a number, a truth value or null."""
    if isinstance(values, dict):
        return {name: read_scalars(value) for name, value in values.items()}
    if isinstance(values, list):
        return [read_scalars(value) for value in values]
    try:
        read = YAML(typ="safe", pure=True).load(values) if isinstance(values, str) else values
    except (YAMLError, ValueError, RecursionError):
        return values
    return read if isinstance(read, bool | int | float | None) else values
