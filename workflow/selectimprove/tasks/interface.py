"""The interface of a task: what is asked, demonstrated, read by the base model, and labeled.

A task is a class that implements the protocol `Task`. It lies in a module of this folder, or in the ``__init__`` of a
subfolder that puts it together from one class per aspect. The task has the name of the module or subfolder.

The protocol has one part per aspect, so that the key of an artifact covers only the aspects that its stage uses:
`aspect_modules` names their modules. A method may therefore call functions that its module imports from another aspect,
but not another aspect's methods through ``self``. A task has no state: methods take the settings as an argument.
"""

import importlib
import pkgutil
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from selectimprove.types import Strict


class Settings(Strict):
    """The settings that every stage of a task is given."""

    problem_types: ClassVar[tuple[str, ...]]
    """Types of problems; each has the same weight in an average over all."""
    difficulty: ClassVar[str] = "n_steps"
    """The column that breaks pass rates down within a type."""

    @property
    def slug(self) -> str:
        """Name the task for the names of artifacts, with the setting that best tells its variants apart."""
        raise NotImplementedError


class Problems(Strict):
    """A distribution of problems."""

    @property
    def slug(self) -> str:
        raise NotImplementedError

    @property
    def difficulties(self) -> range:
        """Return the values of the difficulty that the problems take."""
        raise NotImplementedError

    def count_types(self, n_problems: int) -> dict[str, int]:
        """Return how many of `n_problems` problems are of each type."""
        raise NotImplementedError


class Demonstrations(Strict):
    """How the problems of SFT are answered."""


class Documents(Strict):
    """The documents that a base model is pretrained on."""


@dataclass(frozen=True)
class Document:
    """A text to pretrain on.

    Parameters
    ----------
    prompt, response : list of str
        Words. Only those of the response count in the loss. A response ends with `END` where the text does.
    learned : tuple of bool, optional
        Which words of the response count in the loss; all by default.
    """

    END: ClassVar[str] = "<eos>"

    prompt: list[str]
    response: list[str]
    learned: tuple[bool, ...] | None = None


class StepMark(NamedTuple):
    """A step of a response: how many words it has, and whether it is right."""

    n_words: int
    judgement: Literal["right", "wrong result", "wrong step"]
    """``wrong step``: the strategy takes another step there; ``wrong result``: the right step with a wrong result."""


class Problem(Hashable, Protocol):
    """A problem; if the settings name a `difficulty` other than ``n_steps``, it has an attribute of that name too."""

    prompt: str
    answer: int
    n_steps: int
    problem_type: str


class TypesAspect(Protocol):
    """The types of the task's params; each inherits from the type of the same name in this module."""

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
    """For each strategy that a model can be told to take, the words that begin such a response; may be empty."""

    def draw_problems(self, settings: Any, problems: Any, n_problems: int, split: str, seed: int) -> list[Problem]:
        """Draw distinct problems of one split.

        Raises
        ------
        ValueError
            If the split holds fewer.
        """
        ...

    def refuse_problems(self, settings: Any, problems: Any, n_problems: int, split: str) -> Iterator[tuple[str, str]]:
        """Find why so many problems cannot be drawn.

        Yields
        ------
        (str, str)
            A field of `Problems` or ``n_problems``, and the reason.
        """
        ...

    def to_row(self, problem: Any) -> dict:
        """Return a problem as a row of a Parquet file; with at least the attributes of `Problem`."""
        ...

    def from_row(self, row: dict) -> Problem:
        """Undo `to_row`."""
        ...

    def content_of(self, problem: Any) -> Hashable:
        """Return the part of a problem that decides its split; equal contents count as the same problem."""
        ...

    def answer_text(self, answer: int) -> str:
        """Write an answer as a response does."""
        ...

    def reward(self, completion: str, answer: int) -> float:
        """Return the outcome reward of a completion; never fails."""
        ...

    def longest_response(self, settings: Any, n_steps: int) -> list[str]:
        """List the words of the longest response to a problem of `n_steps` steps."""
        ...


class DemonstrationsAspect(Protocol):
    """Demonstrations: the responses that SFT trains on."""

    def demonstrate(self, settings: Any, demonstrations: Any, problems: list[Any], seed: int) -> list[tuple[str, str]]:
        """Return the strategy and the completion for each problem."""
        ...


class DocumentsAspect(Protocol):
    """Documents: the texts that the base model is pretrained on."""

    def vocabulary(self, settings: Any) -> list[str]:
        """List the tokens of a word-level tokenizer; each starts with a space unless it begins a prompt."""
        ...

    def draw_documents(self, settings: Any, documents: Any, batch_size: int, rng: Random) -> list[Document]:
        """Draw a batch."""
        ...

    def refuse_documents(self, settings: Any, documents: Any) -> Iterator[tuple[str, str]]:
        """Find why documents cannot be drawn; yield a field of `Documents` and the reason."""
        ...


class LabelsAspect(Protocol):
    """Labels: how a response went about its problem."""

    label_strategies: tuple[str, ...]
    """The strategies that labels name: usually `strategies` and ``other``."""
    first_errors: tuple[str, ...]
    """The kinds of first error; ``none`` is one."""

    def label(self, settings: Any, problem: Any, completion: str) -> dict:
        """Label a completion with at least ``strategy``, ``first_error``, ``correct`` and ``answer``; never fails."""
        ...

    def mark_steps(self, row: Any) -> tuple[int, list[StepMark]]:
        """Mark the steps of a labeled response.

        Parameters
        ----------
        row : named tuple
            The completion and its label, with the columns of its problem.

        Returns
        -------
        n_before : int
            Words before the first step.
        marks : list of StepMark
        """
        ...


class Task(TypesAspect, ProblemsAspect, DemonstrationsAspect, DocumentsAspect, LabelsAspect, Protocol):
    """All that the stages know of a task."""


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


@cache
def task_names() -> tuple[str, ...]:
    """Name all tasks: the modules of this folder that define one."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return tuple(name for name in names if _task_in(importlib.import_module(f"selectimprove.tasks.{name}")))


def load_task(name: str) -> Task:
    """Return the task of a name.

    Raises
    ------
    ValueError
        If the module of that name defines no task.
    """
    task = _task_in(importlib.import_module(f"selectimprove.tasks.{name}"))
    if task is None:
        raise ValueError(f"selectimprove.tasks.{name} has no class that inherits from Task")
    return task


def task_types() -> dict[str, Task]:
    """Return all tasks by name."""
    return {name: load_task(name) for name in task_names()}


# Caches go by module or class and not by name: a module that is imported anew, after an edit, holds another task.
@cache
def _task_in(module: ModuleType) -> Task | None:
    """Return the task that a module defines, or None."""
    own = [kind for kind in vars(module).values() if getattr(kind, "__module__", "") == module.__name__ != __name__]
    kinds = [kind for kind in own if isinstance(kind, type) and Task in kind.__mro__]
    if not kinds:
        return None
    if len(kinds) > 1:
        raise TypeError(f"{module.__file__} has the tasks {' and '.join(k.__name__ for k in kinds)}; leave only one")
    defined = {member for base in kinds[0].__mro__ if base.__module__ != __name__ for member in vars(base)}
    if missing := sorted(set().union(*MEMBERS.values()) - defined):
        raise TypeError(f"{module.__file__}: {kinds[0].__name__} lacks {', '.join(missing)}; see tasks/interface.py")
    return kinds[0]()


def aspect_modules(name: str, aspect: str) -> frozenset[str]:
    """Name the modules, without the package, that define an aspect of a task; those of inherited classes count."""
    return _modules_of(type(load_task(name)), aspect)


@cache
def _modules_of(task: type[Task], aspect: str) -> frozenset[str]:
    ours = [
        kind for kind in task.__mro__ if kind.__module__.startswith("selectimprove.") and kind.__module__ != __name__
    ]
    return frozenset(kind.__module__.removeprefix("selectimprove.") for kind in ours if _counts(kind, aspect))


def _counts(kind: type, aspect: str) -> bool:
    """Tell whether a class that a task inherits from has a part in an aspect."""
    implemented = {name for name, protocol in ASPECTS.items() if protocol in kind.__mro__}
    if implemented and Task not in kind.__mro__:
        return aspect in implemented
    # A whole task or a mixin: its helpers may serve any aspect.
    own = {name for name in vars(kind) if not name.startswith("__")} - set(vars(Task))
    return bool(own & MEMBERS[aspect] or own - set().union(*MEMBERS.values()))
