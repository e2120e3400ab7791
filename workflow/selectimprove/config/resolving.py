"""Resolve the params as written into the params of one variant of one experiment."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from selectimprove.config.params import Exhibit, Params, TaskParams
from selectimprove.tasks.interface import Settings, load_task, task_names

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def notebook_of(name: str, exhibit: Exhibit) -> Path:
    """Return the notebook that draws a figure or table."""
    return NOTEBOOKS / f"{exhibit.notebook or name}.ipynb"


def merge(below: dict, above: dict) -> dict:
    """Lay one nested mapping over another; lists and values are replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def extend_tasks(values: dict) -> dict:
    """Give each task that extends another the settings that it lacks; malformed tasks are left for pydantic to name."""
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


@dataclass(frozen=True, eq=False)
class Case:
    """The params of one variant of an experiment, and its task."""

    params: Params
    task: str

    @property
    def section(self) -> TaskParams:
        return getattr(self.params.tasks, self.task)

    @cached_property
    def settings(self) -> Settings:
        return self.settings_of(self.task)

    def settings_of(self, other: str) -> Settings:
        """Return the settings of another task; where both tasks have a setting, it is as in this one."""
        kind = load_task(other).Settings
        own = self.section.model_dump()
        values = getattr(self.params.tasks, other).model_dump()
        return kind.model_validate({name: own.get(name, values[name]) for name in kind.model_fields})


def resolve_case(params: Params, experiment: str, variant: str | None = None) -> Case:
    """Lay an experiment's overrides, and those of one of its variants, over the params.

    Raises
    ------
    pydantic.ValidationError
        If the result is not valid.
    """
    entry = params.experiments[experiment]
    overrides = merge(entry.overrides, entry.variants[variant] if variant else {})
    if not overrides:
        return Case(params, entry.task)
    values = merge(params.model_dump(), {key: value for key, value in overrides.items() if key != "task"})
    values = merge(values, {"tasks": {entry.task: overrides.get("task", {})}})
    return Case(Params.model_validate(values), entry.task)
