"""Reading `params.yaml`: the overlay of the scale, and errors that a person can act on.

All mistakes are reported at once, one line each, as ``file: key: what is wrong and what would be right``.
"""

from pathlib import Path

import yaml
from pydantic import ValidationError

from selectimprove.config.checks import find_contradictions
from selectimprove.config.messages import describe_all
from selectimprove.config.params import Params
from selectimprove.config.resolving import extend_tasks, merge
from selectimprove.types import ParamsError

SCALES = Path(__file__).parents[2] / "scales"
DEFAULT_SCALE = "laptop"
"""The scale whose values ``params.yaml`` itself holds; it has no overlay."""


def read_yaml(path: Path) -> dict:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    ParamsError
        If there is no such file, it is not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ParamsError(f"{path.name}: no such file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise ParamsError(f"{path.name}: {line}not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path.name}: expected keys with values, found {type(content).__name__}")
    return content


def load_params(path: Path, overrides: dict | None = None) -> Params:
    """Read, overlay and check the params.

    Parameters
    ----------
    path : Path
        ``params.yaml``; the values of the laptop scale.
    overrides : dict, optional
        Laid over everything, as from ``snakemake --config``.

    Returns
    -------
    Params

    Raises
    ------
    ParamsError
        With all mistakes, one line each.
    """
    values = merge(read_yaml(path), overrides or {})
    scale = values.get("scale")
    scales = {DEFAULT_SCALE: None} | {file.stem: file for file in sorted(SCALES.glob("*.yaml"))}
    if scale not in scales:
        raise ParamsError(f"{path.name}: scale: '{scale}' is unknown; use one of {', '.join(scales)}")
    source = path.name
    if scales[scale]:
        source = f"{path.name} with {scales[scale].name}"
        values = merge(merge(read_yaml(path), _read_overlay(scales[scale])), overrides or {})
    try:
        params = Params.model_validate(extend_tasks(values))
    except ValidationError as error:
        raise ParamsError("\n".join(f"{source}: {line}" for line in describe_all(error.errors()))) from None
    mistakes = [f"{source}: {mistake}" for mistake in find_contradictions(params)]
    if mistakes:
        raise ParamsError("\n".join(mistakes))
    return params


def _read_overlay(path: Path) -> dict:
    """Read what a scale changes, laid over that of the scale that it extends."""
    overlay = read_yaml(path)
    below = overlay.pop("extends", None)
    return merge(_read_overlay(SCALES / f"{below}.yaml"), overlay) if below else overlay
