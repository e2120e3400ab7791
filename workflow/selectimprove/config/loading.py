"""Read `params.yaml`, apply the scale and the command line, and report all mistakes at once.

A mistake is one line: ``file: line: key: what is wrong and what would be right``. Files are YAML 1.2.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from selectimprove.config.checks import find_mistakes
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import Params, merge
from selectimprove.errors import ParamsError, one_line
from selectimprove.tasks.interface import load_task, task_names

SCALES = Path(__file__).parents[2] / "scales"
DEFAULT_SCALE = "laptop"
"""The scale of ``params.yaml`` itself, without a file in ``workflow/scales``."""


@dataclass(frozen=True)
class YamlFile:
    """The content of a file, and the place of each dotted key: ``params.yaml: line 7``. List items are numbered."""

    name: str
    content: dict
    places: dict[str, str]

    def place(self, key: str) -> str:
        """Return the place of a key, or else that of the innermost enclosing key that the file has."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, self.name)


def known_scales() -> list[str]:
    """List the scales, the default first."""
    return [DEFAULT_SCALE, *sorted(file.stem for file in SCALES.glob("[!.]*.yaml"))]


def load_params(path: Path, overrides: dict | None = None) -> Params:
    """Read the params with the overrides of ``snakemake --config``; a ParamsError lists all mistakes."""
    # Snakemake leaves numbers in nested values as text.
    values = read_scalars(overrides or {})
    layers = [read_yaml(path), YamlFile("--config", values, dict.fromkeys(_keys(values), "--config"))]
    scale = (layers[0].content | values).get("scale")
    _refuse(_merge_all(layers), unknown_name("scale", scale, known_scales()))
    files = [layers[0], *_read_overlays(scale)]
    if "verify" in values:
        # What an auditor asks for replaces what the files have, which might narrow it.
        for file in files:
            file.content.pop("verify", None)
    merged = _merge_all([*files, layers[1]])
    try:
        params = Params.model_validate(_extend_tasks(merged.content))
    except ValidationError as error:
        _refuse(merged, describe_all(error.errors(), Params))
    _refuse(merged, find_mistakes(params))
    return params


def _refuse(file: YamlFile, mistakes: list[str]) -> None:
    # The key of a figure or table may be followed by its notebook in brackets.
    keys = (mistake.partition(": ")[0].partition(" ")[0] for mistake in mistakes)
    lines = [f"{file.place(key)}: {one_line(mistake)}" for key, mistake in zip(keys, mistakes, strict=True)]
    if lines:
        raise ParamsError("\n".join(lines))


def _keys(values: dict, above: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{above}{name}"
        yield from _keys(value, f"{above}{name}.") if isinstance(value, dict) else ()


def _merge_all(layers: list[YamlFile]) -> YamlFile:
    content, places = {}, {}
    for layer in layers:
        content, places = merge(content, layer.content), places | layer.places
    return YamlFile(layers[0].name, content, places)


def _read_overlays(scale: str) -> list[YamlFile]:
    """Read the file of a scale, preceded by those of the scales that it extends."""
    overlays, seen = [], []
    while scale not in (None, DEFAULT_SCALE):
        seen.append(scale)
        overlay = read_yaml(SCALES / f"{scale}.yaml", f"workflow/scales/{scale}.yaml")
        overlays.insert(0, overlay)
        scale = overlay.content.pop("extends", None)
        if scale in seen:
            _refuse(overlay, [f"extends: '{scale}' extends this scale itself"])
        _refuse(overlay, [] if scale is None else unknown_name("extends", scale, known_scales()[1:]))
    return overlays


def _extend_tasks(values: dict) -> dict:
    """Give each task that extends another the settings that it lacks; pydantic reports malformed tasks later."""
    tasks = values.get("tasks")
    if not isinstance(tasks, dict):
        return values
    extended = {}
    for name, section in tasks.items():
        extends = section.get("extends") if isinstance(section, dict) else None
        below = tasks.get(extends) if isinstance(extends, str) else None
        if isinstance(below, dict) and name in task_names():
            known = load_task(name).Settings.model_fields
            section = merge({key: below[key] for key in known if key in below}, section)
        extended[name] = section
    return values | {"tasks": extended}


def read_yaml(path: Path, name: str | None = None) -> YamlFile:
    """Read a file that holds a mapping, called `name` in messages; a ParamsError if it holds anything else."""
    name = name or path.name
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ParamsError(f"{name}: cannot be read: {error.strerror}") from None

    def place(position: int) -> str:
        line = text.count(b"\n", 0, position) + 1
        return f"{name}: line {line}"

    if conflict := re.search(rb"^[<>]{7} ", text, re.MULTILINE):
        raise ParamsError(f"{place(conflict.start())}: a merge conflict is left here; resolve it")
    places: dict[str, str] = {}
    try:
        parser = YAML(typ="safe", pure=True)
        root = parser.compose(text.decode("utf-8"))
        _note_places(root, "", name, places)
        content = root and parser.constructor.construct_document(root)
    except UnicodeDecodeError as error:
        raise ParamsError(f"{place(error.start)}: not UTF-8 text") from None
    except RecursionError:
        raise ParamsError(f"{name}: nested too deeply") from None
    except (YAMLError, ValueError) as error:
        where, what = name, str(error).partition("\n")[0]
        if isinstance(error, MarkedYAMLError):
            mark = error.problem_mark or error.context_mark
            where, what = f"{name}: line {mark.line + 1}", error.problem.partition(" with value ")[0]
        elif isinstance(error, ReaderError):
            where = place(error.position)
        raise ParamsError(f"{where}: not YAML: {one_line(what)}") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else one_line(repr(content))
        raise ParamsError(f"{name}: expected keys with values, found {found}")
    return YamlFile(name, content, places)


def _note_places(node: Node | None, key: str, name: str, places: dict[str, str]) -> None:
    """Add the place of each key to `places`."""
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
    """Convert texts in nested values that YAML would read as a number, a truth value or null."""
    if isinstance(values, dict):
        return {name: read_scalars(value) for name, value in values.items()}
    if isinstance(values, list):
        return [read_scalars(value) for value in values]
    try:
        read = YAML(typ="safe", pure=True).load(values) if isinstance(values, str) else values
    except (YAMLError, ValueError, RecursionError):
        return values
    return read if isinstance(read, bool | int | float | None) else values
