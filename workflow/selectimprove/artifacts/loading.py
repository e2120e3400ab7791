"""Which modules a stage loads by name, because its config says so: the aspects of a task, the engine, what a notebook imports."""

import inspect
from collections.abc import Callable
from pathlib import Path

from selectimprove.tasks.interface import aspect_module
from selectimprove.types import Strict


def stage_of(run: Callable) -> str:
    """Name the stage of a stage's function: its module, or its folder's name."""
    path = Path(inspect.getfile(run))
    return path.parent.name if path.stem == "__init__" else path.stem


def loaded_by_name(config: Strict) -> frozenset[str]:
    """Name the modules, without the package, that a stage loads because its config names them."""
    modules = set(getattr(config, "notebook_modules", []))
    configs = [config, *(task for variants in getattr(config, "tasks", {}).values() for task in variants.values())]
    for part in configs:
        if hasattr(part, "task_name"):
            modules |= {aspect_module(part.task_name, aspect) for aspect in part.aspects}
    if hasattr(config, "sampling"):
        modules.add(f"training.engine_{config.sampling.engine}")
    return frozenset(modules)
