"""Reading `params.yaml`: the overlay of the scale, and errors that a person can act on.

All mistakes are reported at once, one line each, as ``file: line: key: what is wrong and what would be right``.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from selectimprove.config.checks import find_contradictions
from selectimprove.config.files.yaml_file import YamlFile, read_texts, read_yaml
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import Params
from selectimprove.config.resolving import extend_tasks, merge
from selectimprove.errors import one_line
from selectimprove.types import LARGEST_SEED, ParamsError

SCALES = Path(__file__).parents[2] / "scales"
DEFAULT_SCALE = "laptop"
"""The scale whose values ``params.yaml`` itself holds; it has no overlay."""


def known_scales() -> list[str]:
    """List the scales, the default first."""
    return [DEFAULT_SCALE, *sorted(file.stem for file in SCALES.glob("*.yaml"))]


def load_params(path: Path, overrides: dict | None = None) -> Params:
    """Read, overlay and check the params.

    Parameters
    ----------
    path : Path
        ``params.yaml``; the values of the laptop scale.
    overrides : dict, optional
        Laid over everything, as from ``snakemake --config``, which leaves what is nested as text.

    Returns
    -------
    Params

    Raises
    ------
    ParamsError
        With all mistakes, one line each.
    """
    command_line = YamlFile("--config", read_texts(overrides or {}), {})
    layers = [read_yaml(path), command_line]
    scale = merge(layers[0].content, command_line.content).get("scale")
    known = known_scales()
    if scale not in known:
        mistake = f"scale: {scale!r} is unknown; use one of {', '.join(known)}"
        raise ParamsError(f"{_place('scale', layers)}: {one_line(mistake)}")
    if scale != DEFAULT_SCALE:
        layers[1:1] = _read_overlays(scale, known)
    values: dict = {}
    for layer in layers:
        values = merge(values, layer.content)
    mistakes = list(_too_large(values))
    if not mistakes:
        try:
            params = Params.model_validate(extend_tasks(values))
            mistakes = find_contradictions(params)
        except ValidationError as error:
            mistakes = describe_all(error.errors())
    if mistakes:
        lines = (f"{_place(mistake.partition(': ')[0], layers)}: {one_line(mistake)}" for mistake in mistakes)
        raise ParamsError("\n".join(lines))
    return params


def _read_overlays(scale: str, known: list[str]) -> list[YamlFile]:
    """Read what a scale changes, after what the scale that it extends does."""
    overlays: list[YamlFile] = []
    below, seen = scale, []
    while below is not None:
        seen.append(below)
        overlay = read_yaml(SCALES / f"{below}.yaml", f"workflow/scales/{below}.yaml")
        below = overlay.content.pop("extends", None)
        overlays.insert(0, overlay)
        wrong = [] if below is None else unknown_name("extends", below, known[1:])
        if below in seen:
            wrong = [f"extends: '{below}' extends this scale itself"]
        if wrong:
            raise ParamsError(f"{overlay.place('extends')}: {one_line(wrong[0])}")
    return overlays


def _place(key: str, layers: list[YamlFile]) -> str:
    """Say in which file and line the value of a key stands, or what is around it: the last that lays it over the others."""
    # A figure or table is followed by its notebook, in brackets.
    key = key.partition(" ")[0]
    while key:
        for layer in reversed(layers):
            if key in layer.lines:
                return layer.place(key)
            if _holds(layer.content, key.split(".")):
                return layer.name
        key = key.rpartition(".")[0]
    return layers[0].name


def _holds(content: object, key: list[str]) -> bool:
    """Tell whether nested mappings have a key; a name in it may have dots of its own."""
    if not key:
        return True
    return isinstance(content, dict) and any(
        _holds(content[name], key[parts:])
        for parts in range(1, len(key) + 1)
        if (name := ".".join(key[:parts])) in content
    )


def _too_large(values: object, key: str = "") -> Iterator[str]:
    """Find numbers that are larger than any that is of use here, some too large to calculate with."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _too_large(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list):
        for position, value in enumerate(values):
            yield from _too_large(value, f"{key}.{position}")
    elif isinstance(values, int) and abs(values) > LARGEST_SEED:
        shown = str(values) if abs(values) < 10**30 else "this number"
        yield f"{key}: {shown} is out of range; numbers go up to {LARGEST_SEED}"
