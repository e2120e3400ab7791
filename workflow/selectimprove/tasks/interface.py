"""The interface of a task: its problems, demonstrations and labels, and the documents that its base model reads.

A task is a class that implements the protocol `Task`. It lies in a module of this folder, or in the ``__init__`` of a
subfolder, and is known by the name of that module or subfolder. It has no state: methods take the settings as an
argument. The key of an artifact covers only the aspects that its stage uses (`aspect_modules`), so a method may call
functions that its module imports from another aspect, but not another aspect's methods through ``self``.
"""

import importlib
import pkgutil
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from selectimprove.types import Strict


class Settings(Strict):
    """The settings that every stage of a task is given."""

    problem_types: ClassVar[tuple[str, ...]]
    """Types of problems; they have equal weights in an average over all."""
    difficulty: ClassVar[str] = "n_steps"
    """The column by which pass rates are broken down within a type."""

    @property
    def slug(self) -> str:
        """A short name of the task and its main settings, for the names of artifacts."""
        raise NotImplementedError


class Problems(Strict):
    """A distribution of problems."""

    @property
    def slug(self) -> str:
        raise NotImplementedError

    @property
    def difficulties(self) -> range:
        """The values of the difficulty."""
        raise NotImplementedError

    def count_types(self, n_problems: int) -> dict[str, int]:
        """Divide a number of problems among the types."""
        raise NotImplementedError


class Demonstrations(Strict):
    """The way in which demonstrations answer the problems of SFT."""


class Documents(Strict):
    """The documents that a base model is pretrained on."""


@dataclass(frozen=True)
class Document:
    """The words of a text to pretrain on; only the response counts in the loss. A complete text ends with `END`."""

    END: ClassVar[str] = "<eos>"

    prompt: list[str]
    response: list[str]
    learned: tuple[bool, ...] | None = None
    """Whether each word of the response counts in the loss; None if all do."""


class StepMark(NamedTuple):
    """The number of words of a step in a response, and a judgement of the step."""

    n_words: int
    judgement: Literal["right", "wrong result", "wrong step"]
    """``wrong step``: not the strategy's next step; ``wrong result``: the right step, but with a wrong result."""


Refusals = Iterator[tuple[str, str]]
"""Pairs of a key of the params and the reason why its value is refused."""


@runtime_checkable
class Problem(Hashable, Protocol):
    """A problem; it also has an attribute with the name of the settings' `difficulty`."""

    prompt: str
    answer: int
    n_steps: int
    problem_type: str


class TypesAspect(Protocol):
    """The types of the task's params, which inherit from the types of the same names in this module."""

    Settings: type[Settings]
    Problems: type[Problems]
    Demonstrations: type[Demonstrations]
    Documents: type[Documents]


class ProblemsAspect(Protocol):
    """Problems, the strategies that solve them, and the outcome reward."""

    strategies: tuple[str, ...]
    """The strategies that demonstrations show."""
    suited: dict[str, str]
    """For each problem type, the strategy that suits it."""
    openings: dict[str, str]
    """For each strategy that a model can be told, the words that begin such a response; may be empty."""

    def draw_problems(self, settings: Any, problems: Any, n: int, split: str, seed: int) -> list[Problem]:
        """Draw `n` distinct problems of one split; raise ValueError if it holds fewer."""

    def refuse_problems(self, settings: Any, problems: Any, n: int, split: str) -> Refusals:
        """Say why `n` problems cannot be drawn; keys are fields of `Problems` and ``n_problems``."""

    def to_row(self, problem: Any) -> dict:
        """Return a problem as a row of a table, with at least the attributes of `Problem`."""

    def from_row(self, row: dict) -> Problem:
        """Undo `to_row`."""

    def content_of(self, problem: Any) -> Hashable:
        """Return the part of a problem that decides its split; equal contents count as the same problem."""

    def answer_text(self, answer: int) -> str:
        """Write an answer as a response does."""

    def reward(self, completion: str, answer: int) -> float:
        """Return the outcome reward of any text."""

    def longest_response(self, settings: Any, n_steps: int) -> list[str]:
        """List the words of the longest response to a problem of `n_steps` steps."""


class DemonstrationsAspect(Protocol):
    """Demonstrations: the responses that SFT trains on."""

    def demonstrate(self, settings: Any, demonstrations: Any, problems: list[Any], seed: int) -> list[tuple[str, str]]:
        """Return the strategy and the completion for each problem."""


class DocumentsAspect(Protocol):
    """Documents: the texts that the base model is pretrained on."""

    def vocabulary(self, settings: Any) -> list[str]:
        """List the tokens of a word-level tokenizer; each begins with a space, except those that begin a prompt."""

    def draw_documents(self, settings: Any, documents: Any, batch_size: int, rng: Random) -> list[Document]:
        """Draw a batch."""

    def refuse_documents(self, settings: Any, documents: Any) -> Refusals:
        """Say why documents cannot be drawn; keys are fields of `Documents`."""


class LabelsAspect(Protocol):
    """Labels: the strategy and the first error of a response."""

    label_strategies: tuple[str, ...]
    """The strategies that labels name: usually `strategies` and ``other``."""
    first_errors: tuple[str, ...]
    """The kinds of first error; ``none`` is one."""

    def label(self, settings: Any, problem: Any, completion: str) -> dict:
        """Label any text with at least ``strategy``, ``first_error``, ``correct`` and ``answer``."""

    def mark_steps(self, row: Any) -> tuple[int, list[StepMark]]:
        """Count the words before the first step of a labeled completion, and mark its steps."""


class Task(TypesAspect, ProblemsAspect, DemonstrationsAspect, DocumentsAspect, LabelsAspect, Protocol):
    """Everything that stages use of a task."""


ASPECTS = {
    "settings": TypesAspect,
    "problems": ProblemsAspect,
    "demonstrations": DemonstrationsAspect,
    "documents": DocumentsAspect,
    "labels": LabelsAspect,
}
MEMBERS = {
    aspect: {name for name in (*protocol.__annotations__, *vars(protocol)) if not name.startswith("_")}
    for aspect, protocol in ASPECTS.items()
}
ALL_MEMBERS = set().union(*MEMBERS.values())


@cache
def task_names() -> tuple[str, ...]:
    """List the tasks: the modules of this folder that define one."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name.isidentifier()]
    return tuple(name for name in names if _task_in(importlib.import_module(f"selectimprove.tasks.{name}")))


def load_task(name: str) -> Task:
    """Return a task by name; raise ValueError if the module of that name defines none."""
    task = _task_in(importlib.import_module(f"selectimprove.tasks.{name}"))
    if task is None:
        raise ValueError(f"selectimprove.tasks.{name} has no class that inherits from Task")
    return task


# This cache and the next are keyed by module or class, not by name: a module may be imported anew after an edit.
@cache
def _task_in(module: ModuleType) -> Task | None:
    types = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    kinds = [kind for kind in types if Task in kind.__mro__ and kind is not Task]
    if not kinds:
        return None
    if len(kinds) > 1:
        raise TypeError(f"{module.__file__} has the tasks {' and '.join(k.__name__ for k in kinds)}; leave only one")
    defined = {member for base in kinds[0].__mro__ if base.__module__ != __name__ for member in vars(base)}
    if missing := sorted(ALL_MEMBERS - defined):
        raise TypeError(f"{module.__file__}: {kinds[0].__name__} lacks {', '.join(missing)}; see tasks/interface.py")
    return kinds[0]()


def aspect_modules(name: str, aspect: str) -> frozenset[str]:
    """List the modules that define an aspect of a task, those of inherited classes included, without the package."""
    return _modules_of(type(load_task(name)), aspect)


@cache
def _modules_of(task: type[Task], aspect: str) -> frozenset[str]:
    modules = {kind.__module__ for kind in task.__mro__ if kind.__module__ != __name__ and _counts(kind, aspect)}
    return frozenset(name.removeprefix("selectimprove.") for name in modules if name.startswith("selectimprove."))


def _counts(kind: type, aspect: str) -> bool:
    """Tell whether a class that a task inherits from contributes to an aspect."""
    implemented = {name for name, protocol in ASPECTS.items() if protocol in kind.__mro__}
    if implemented and Task not in kind.__mro__:
        return aspect in implemented
    # A whole task or a mixin: its helpers may serve any aspect.
    own = {name for name in vars(kind) if not name.startswith("__")} - set(vars(Task))
    return bool(own & MEMBERS[aspect] or own - ALL_MEMBERS)
