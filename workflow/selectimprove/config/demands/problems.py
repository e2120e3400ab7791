"""Problems asked for, against those that there are."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from selectimprove.tasks.interface import Problems, Settings, load_task

MOST_STEPS = 1000
"""Of a problem; the number of longer ones takes too long to count."""
DEVIATIONS = 4
"""The task says how many problems a split holds in the mean. Closer to it than so many standard deviations, they are drawn."""

MOST_DRAWN = 5000
"""More problems than these are not drawn to be counted: it takes seconds, and the mean is close enough."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a set of problems.

    Parameters
    ----------
    field : str
        Of the distribution, or ``n_problems``.
    what : str
    most : int, optional
        The largest number of problems that there are, where more are asked for.
    """

    field: str
    what: str
    most: int | None = None


def find_mistakes(task: str, settings: Settings, problems: Problems, n_problems: int, split: str) -> list[Mistake]:
    """Find what the task finds wrong with a set of problems, and say how many there are at most.

    Parameters
    ----------
    task : str
    settings : Settings
    problems : Problems
        Their distribution.
    n_problems : int
    split : str
    """
    most = load_task(task).most_steps(settings, problems)
    if most > MOST_STEPS:
        field = next(iter(type(problems).model_fields))
        return [Mistake(field, f"{most} steps are more than {MOST_STEPS}, the most that is supported")]
    asked = (task, settings.model_dump_json(), problems.model_dump_json(), split)
    mistakes = []
    for field, what in _counted(*asked, n_problems):
        if field == "n_problems":
            fit = _largest(n_problems, lambda n: not _too_many(*asked, n))
            mistakes.append(Mistake(field, f"{what}; about {fit} fit", fit))
        else:
            mistakes.append(Mistake(field, what))
    if not mistakes and not _can_draw(*asked, n_problems):
        fit = _largest(n_problems, lambda n: _can_draw(*asked, n))
        what = f"asks for {n_problems} problems, but split '{split}' holds fewer; {fit} fit"
        mistakes.append(Mistake("n_problems", what, fit))
    return mistakes


@cache
def _read(task: str, settings: str, problems: str) -> tuple[Settings, Problems]:
    types = load_task(task)
    return types.Settings.model_validate(json.loads(settings)), types.Problems.model_validate(json.loads(problems))


@cache
def _counted(task: str, settings: str, problems: str, split: str, n_problems: int) -> list[tuple[str, str]]:
    try:
        found = load_task(task).refuse_problems(*_read(task, settings, problems), n_problems, split)
        return list(found)
    except OverflowError:
        # There are more than a float can say.
        return []


def _too_many(task: str, settings: str, problems: str, split: str, n_problems: int) -> bool:
    return any(field == "n_problems" for field, _ in _counted(task, settings, problems, split, n_problems))


@cache
def _can_draw(task: str, settings: str, problems: str, split: str, n_problems: int) -> bool:
    """Tell whether so many problems can be drawn, by drawing them where the count does not make it certain."""
    difficulties = len(_read(task, settings, problems)[1].difficulties)
    beyond = n_problems + int(DEVIATIONS * math.sqrt(n_problems * difficulties))
    if n_problems > MOST_DRAWN or not _too_many(task, settings, problems, split, beyond):
        return True
    try:
        load_task(task).draw_problems(*_read(task, settings, problems), n_problems, split, 0)
    except ValueError:
        return False
    return True


def _largest(too_many: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number of problems that there are, below one that is too large."""
    enough = 0
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        enough, too_many = (middle, too_many) if fits(middle) else (enough, middle)
    return enough
