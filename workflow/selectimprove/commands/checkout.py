"""The checkout in the current folder, for commands that tell of its results."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError, one_line


def open_plan(scale: str | None, config: Sequence[str] = ()) -> Plan:
    """Plan what the checkout in this folder asks for, at its own scale or another.

    Parameters
    ----------
    scale : str or None
    config : sequence of str, optional
        Other values of params, each ``key=value``, as Snakemake's ``--config`` takes them.

    Raises
    ------
    ParamsError
        If this is not the root of a checkout, or the params are not right.
    """
    _use_own_source()
    return Plan(load_params(Path("params.yaml"), ({"scale": scale} if scale else {}) | _parse(config)))


def _parse(config: Sequence[str]) -> dict:
    if not config:
        return {}
    from snakemake.cli import parse_config

    try:
        return parse_config(config)
    except ValueError as error:
        raise ParamsError(f"--config: {one_line(str(error))}; use key=value, as for snakemake") from None


def _use_own_source() -> None:
    """Go on with the package of the checkout in this folder, whichever copy is installed: keys cover its source.

    Raises
    ------
    ParamsError
        If this is not the root of a checkout.
    """
    source = Path("workflow").resolve()
    if not (Path("params.yaml").is_file() and (source / "selectimprove").is_dir()):
        raise ParamsError("params.yaml: no such file here; run this at the root of a checkout")
    if source not in Path(__file__).resolve().parents:
        os.environ["PYTHONPATH"] = str(source)
        os.execv(sys.executable, [sys.executable, "-m", "selectimprove", *sys.argv[1:]])
