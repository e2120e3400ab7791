"""Which modules a stage loads by name because its config says so."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

from selectimprove.artifacts.keys import OWN
from selectimprove.config.sources import load_module
from selectimprove.tasks.interface import aspect_modules
from selectimprove.types import Strict


def stage_of(run: Callable) -> str:
    """Name the stage of a stage's function: its module, or its folder's name."""
    path = Path(inspect.getfile(run))
    return path.parent.name if path.stem == "__init__" else path.stem


def loaded_by_name(config: Strict) -> frozenset[str]:
    """Name the modules, without the package, that a config makes its stage load; the user's own follow `OWN`."""
    modules = set(getattr(config, "notebook_modules", []))
    for part in (config, *getattr(config, "tasks", {}).values()):
        if hasattr(part, "task_name"):
            modules = modules.union(*(aspect_modules(part.task_name, aspect) for aspect in part.aspects))
    if hasattr(config, "sampling"):
        modules.add(f"training.engine_{config.sampling.engine}")
    if rl := getattr(config, "rl", None):
        modules.add(f"training.{rl.method}")
    if hasattr(config, "arithmetic"):
        modules.add("artifacts.arithmetic")
    if own_reward := getattr(getattr(config, "rl", None), "own_reward", None):
        modules.add(OWN + own_reward.partition(":")[0])
    return frozenset(modules)


def import_by_name(module: str) -> None:
    """Import a module that `loaded_by_name` names."""
    if module.startswith(OWN):
        load_module(module.removeprefix(OWN))
    else:
        importlib.import_module(f"selectimprove.{module}")
