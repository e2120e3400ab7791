"""YAML, read strictly: what YAML takes in silence, such as a key given twice or 0107 for 71, is a mistake; every key knows its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from selectimprove.errors import ParamsError, one_line

TAG = "tag:yaml.org,2002:"
KNOWN_TAGS = {f"{TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
"""A whole number as people mean it; YAML also knows 0107 (octal), 0x6b and 1:47 (base 60)."""
DEEPEST = 30
LARGEST = 100_000
"""Nested levels, and keys and values, of any file; aliases of aliases expand to more than memory holds."""


@dataclass(frozen=True)
class YamlFile:
    """A file's mapping, and where its keys stand.

    Parameters
    ----------
    name : str
        What messages call the file.
    content : dict
    lines : dict of str to int
        By key, dotted from the top; items of a list by their number.
    """

    name: str
    content: dict
    lines: dict[str, int]

    def place(self, key: str) -> str:
        """Say where a key stands, or the innermost one around it that is there: ``params.yaml: line 7``."""
        while key:
            if key in self.lines:
                return f"{self.name}: line {self.lines[key]}"
            key = key.rpartition(".")[0]
        return self.name


def read_yaml(path: Path, name: str | None = None) -> YamlFile:
    """Read a YAML file that holds a mapping.

    Parameters
    ----------
    path : Path
    name : str, optional
        What messages call the file.

    Raises
    ------
    ParamsError
        If there is no such file, it is not YAML, not a mapping, or says what people do not mean; one line per mistake.
    """
    name = name or path.name
    lines: dict[str, int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            if line.startswith(("<<<<<<< ", ">>>>>>> ")):
                raise ParamsError(f"{name}: line {number}: a merge conflict is left here; resolve it")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        mistakes = list(_walk(node, "", (), lines)) if node else []
        if mistakes:
            raise ParamsError("\n".join(f"{name}: line {number}: {one_line(what)}" for number, what in mistakes))
        content = loader.construct_document(node) if node else None
    except FileNotFoundError:
        raise ParamsError(f"{name}: no such file") from None
    except OSError as error:
        raise ParamsError(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise ParamsError(f"{name}: line {number}: not UTF-8 text") from None
    except OverflowError as error:
        raise ParamsError(f"{name}: {error}") from None
    except RecursionError:
        raise ParamsError(f"{name}: nested deeper than {DEEPEST} levels") from None
    except yaml.reader.ReaderError as error:
        number = text[: error.position].count("\n") + 1
        raise ParamsError(f"{name}: line {number}: not YAML: no text has the character {error.character:#x}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ParamsError(f"{name}: {place}not YAML: {one_line(error.problem or str(error.context))}") from None
    if not isinstance(content, dict):
        raise ParamsError(
            f"{name}: expected keys with values, found {'nothing' if content is None else one_line(repr(content))}"
        )
    return YamlFile(name, content, lines)


def read_texts(values):
    """Read the texts in nested values as a file would be read: ``3`` is a number. What a file must not say stays text, which no number is."""
    if isinstance(values, dict):
        return {name: read_texts(value) for name, value in values.items()}
    if isinstance(values, list):
        return [read_texts(value) for value in values]
    if not isinstance(values, str) or len(values) > 30 or ":" in values:
        return values
    kind = yaml.SafeLoader("").resolve(yaml.ScalarNode, values, (True, False)).removeprefix(TAG)
    plain = kind in ("float", "bool", "null") or (kind == "int" and DECIMAL.fullmatch(values))
    return yaml.safe_load(values) if plain else values


def _walk(node: yaml.Node, key: str, above: tuple, lines: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Note the line of every key; yield lines and what is wrong there."""
    number = node.start_mark.line + 1
    if node in above:
        yield number, f"{key}: holds itself"
    elif len(above) > DEEPEST:
        yield number, f"{key}: nested deeper than {DEEPEST} levels"
    elif len(lines) > LARGEST:
        raise OverflowError(f"more than {LARGEST} keys and values")
    elif node.tag not in KNOWN_TAGS:
        written = f" {node.value}" if isinstance(node, yaml.ScalarNode) else ""
        kind = node.tag.removeprefix(TAG)
        yield number, f"{key}:{written} is a {kind} to YAML; write text in quotes, a number, a list or keys with values"
    elif isinstance(node, yaml.MappingNode):
        yield from _walk_keys(node, key, above, lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            inner = f"{key}.{position}"
            lines[inner] = item.start_mark.line + 1
            yield from _walk(item, inner, (*above, node), lines)
    elif node.tag == f"{TAG}int" and not DECIMAL.fullmatch(node.value):
        yield number, f"{key}: {node.value} is no decimal number; YAML reads it in another base"
    elif node.tag == f"{TAG}int" and len(node.value) > 30:
        yield number, f"{key}: {node.value[:20]}… is too large a number"
    elif node.tag == f"{TAG}float" and (":" in node.value or node.value.strip("+-.").lower() in ("inf", "nan")):
        yield number, f"{key}: {node.value} is no finite decimal number"


def _walk_keys(node: yaml.MappingNode, key: str, above: tuple, lines: dict[str, int]) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    # What is merged in yields to what the mapping says itself, so it comes first.
    for name, value in sorted(node.value, key=lambda pair: pair[0].tag != f"{TAG}merge"):
        number = name.start_mark.line + 1
        if name.tag == f"{TAG}merge":
            yield from _walk(value, key, (*above, node), lines)
            continue
        if name.tag != f"{TAG}str":
            shown = name.value if isinstance(name, yaml.ScalarNode) else "a list or mapping"
            where = f"{key}: " if key else ""
            yield number, f"{where}the key {shown or '(empty)'} is not text to YAML; put a name in quotes"
            continue
        inner = f"{key}.{name.value}" if key else name.value
        if name.value in first:
            yield number, f"{inner}: is there twice, first in line {first[name.value]}; keep one"
        first.setdefault(name.value, number)
        lines[inner] = number
        yield from _walk(value, inner, (*above, node), lines)
