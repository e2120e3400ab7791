"""Read `params.yaml`, lay the scale and the command line over it, and report all mistakes at once.

A mistake is one line: ``file: line: key: what is wrong and what would be right``.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from selectimprove.config.checks import find_mistakes
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import Params
from selectimprove.config.resolving import extend_tasks, merge
from selectimprove.config.yaml_file import YamlFile, read_scalars, read_yaml
from selectimprove.errors import ParamsError, one_line

SCALES = Path(__file__).parents[2] / "scales"
DEFAULT_SCALE = "laptop"
"""The scale whose values ``params.yaml`` itself holds; it has no overlay."""


def known_scales() -> list[str]:
    """List the scales, the default first."""
    return [DEFAULT_SCALE, *sorted(file.stem for file in SCALES.glob("*.yaml"))]


def load_params(path: Path, overrides: dict | None = None) -> Params:
    """Read and check the params.

    Parameters
    ----------
    path : Path
        ``params.yaml``.
    overrides : dict, optional
        Values of the command line, as from ``snakemake --config``, which leaves numbers in nested values as text.

    Raises
    ------
    ParamsError
        With all mistakes.
    """
    values = read_scalars(overrides or {})
    layers = [read_yaml(path), YamlFile("--config", values, dict.fromkeys(_keys(values), "--config"))]
    scale = (layers[0].content | values).get("scale")
    _refuse(_merge_all(layers), unknown_name("scale", scale, known_scales()))
    merged = _merge_all([layers[0], *_read_overlays(scale), layers[1]])
    try:
        params = Params.model_validate(extend_tasks(merged.content))
    except ValidationError as error:
        _refuse(merged, describe_all(error.errors(), Params))
    _refuse(merged, find_mistakes(params))
    return params


def _refuse(file: YamlFile, mistakes: list[str]) -> None:
    # A figure or table is followed by its notebook, in brackets.
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
    """Read what a scale changes, after the scale that it extends."""
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
