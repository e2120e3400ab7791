"""The checkout in the current folder, for commands that tell of its results."""

import os
import sys
from pathlib import Path

from selectimprove.config.loading import load_params
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError


def open_plan(scale: str | None) -> Plan:
    """Plan what the checkout in this folder asks for, at its own scale or another."""
    _use_own_source()
    return Plan(load_params(Path("params.yaml"), {"scale": scale} if scale else {}))


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
