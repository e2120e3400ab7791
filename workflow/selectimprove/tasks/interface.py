"""The interface of a task: what is asked, demonstrated, answered and labeled.

A task is a module of this folder, or a folder of modules, one per aspect. Stages know the interface alone; they load an aspect by
name with `load_aspect`, so that the key of an artifact covers the aspects that its stage uses and no others. In a task that is a
single module, all aspects are that module.

``settings``
    Types: `Settings` (what every stage of the task is given), `Problems` (a distribution of problems), `Demonstrations` (how SFT
    data are answered), `Documents` (what a base model that is trained from scratch reads), each a subclass of the type of that name here.
``problems``
    ``draw_problems(settings, problems, n_problems, split, seed)`` returns a list of distinct problems, hashable objects with the
    attributes `prompt`, `answer` (an int), `n_steps`, `problem_type` and, if its name is another, the difficulty.
    ``to_row(problem)`` and ``from_row(row)`` turn a problem into a dict of what a Parquet file holds, and back.
    ``content_of(problem)`` is what two problems share that count as the same one, whatever their type and labels.
    ``answer_text(answer)`` is how a response writes an answer, and ``reward(completion, answer)`` the outcome reward.
    ``OPENINGS`` gives for each strategy that a model can be told to take the words with which such a response begins.
    ``longest_response(settings, n_steps)`` lists the words of the longest response to a problem of so many steps.
    ``most_steps(settings, problems)`` is the most steps of any problem of a distribution.
    ``find_mistakes(settings, problems, n_problems, split)`` yields pairs: a field of `Problems` or ``n_problems``, and what is wrong.
``demonstrations``
    ``demonstrate(settings, demonstrations, problems, seed)`` returns for each problem the strategy and the completion.
``documents``
    ``vocabulary(settings)`` lists the tokens of a word-level tokenizer, each with the space before it except the first of a prompt.
    ``draw_documents(settings, documents, batch_size, rng)`` returns a batch of `Document`.
    ``find_mistakes(settings, documents)``, as above.
``labels``
    ``STRATEGIES`` and ``FIRST_ERRORS``, the values that labels take. ``label(settings, problem, completion)`` returns a dict with at least
    `strategy`, `first_error`, `correct` and `answer`; it never fails.
    ``mark_steps(row)`` returns, for a labeled response with the columns of its problem, the number of words before its first step and a letter
    per step of three words: ``r`` right, ``v`` a wrong result, ``s`` not the step that the strategy takes there; ``o``, four words that open a
    part, right; or for a step of one word ``w``, right, and ``x``, not the strategy's.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from selectimprove.types import Strict

ASPECTS = ("settings", "problems", "demonstrations", "documents", "labels")


class Settings(Strict):
    """What every stage of a task is given."""

    problem_types: ClassVar[tuple[str, ...]]
    """Types of problems, each of which weighs the same in an average over all."""
    difficulty: ClassVar[str] = "n_steps"
    """The column by which pass rates are broken down besides the type."""

    @property
    def slug(self) -> str:
        """Name the task with what most tells its variants apart, for the names of artifacts."""
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


class Demonstrations(Strict):
    """How the problems of SFT are answered."""


class Documents(Strict):
    """What the base model reads, where it is trained from scratch."""


@dataclass(frozen=True)
class Document:
    """A text to pretrain on.

    Parameters
    ----------
    prompt, response : list of str
        Words; the loss is taken on those of the response alone. A response ends with `END` where the text does.
    learned : tuple of bool, optional
        Which words of the response count in the loss; all by default.
    """

    END: ClassVar[str] = "<eos>"

    prompt: list[str]
    response: list[str]
    learned: tuple[bool, ...] | None = None


@cache
def aspect_module(task: str, aspect: str) -> str:
    """Name the module of this package that holds an aspect of a task."""
    if (Path(__file__).parent / task / f"{aspect}.py").is_file():
        return f"tasks.{task}.{aspect}"
    return f"tasks.{task}"


def load_aspect(task: str, aspect: str) -> ModuleType:
    """Load an aspect of a task.

    Parameters
    ----------
    task : str
    aspect : str
        One of `ASPECTS`.
    """
    return importlib.import_module(f"selectimprove.{aspect_module(task, aspect)}")


@cache
def task_types() -> dict[str, ModuleType]:
    """Find all tasks; for each, the module of its types."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        types = load_aspect(module.name, "settings")
        if getattr(types, "Settings", Settings) is not Settings:
            found[module.name] = types
    return found
