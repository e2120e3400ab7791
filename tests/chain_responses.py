"""Responses to chains and their labels in any field."""

from types import SimpleNamespace

from selectimprove.tasks.chains.problems import Problem, work_steps
from selectimprove.tasks.field import FiniteField
from selectimprove.tasks.interface import load_task

CHAINS = load_task("chains")


def settings_of(field: FiniteField) -> SimpleNamespace:
    return SimpleNamespace(field=field, field_order=field.order, relabel_seed=field.relabel_seed)


def respond(field: FiniteField, problem: Problem, strategy: str) -> str:
    return CHAINS.respond(settings_of(field), problem, strategy)


def trace_text(field: FiniteField, problem: Problem, strategy: str, value: int) -> str:
    return " ".join(work_steps(field, problem, strategy, value)[0])


def label_generation(field: FiniteField, problem: Problem, text: str) -> SimpleNamespace:
    return SimpleNamespace(**CHAINS.label(settings_of(field), problem, text))
