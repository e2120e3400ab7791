"""Check before anything starts that tasks and notebooks can do what the params ask; mistakes begin with their key."""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec

from pydantic import ValidationError

from selectimprove.config.messages import describe_all
from selectimprove.config.needs import find_unmet
from selectimprove.config.params import Params
from selectimprove.config.resolving import Case, resolve_case
from selectimprove.tasks.interface import Problems, load_task

MOST_SYMBOLS = 1000
"""Largest setting of a task, seeds aside: every element and every label is a token of the model's vocabulary."""
DEVIATIONS = 4
"""The task says how many problems a split holds in the mean. Closer to it than so many deviations, they are drawn."""
MOST_DRAWN = 5000
"""More problems are not drawn: it takes seconds, and the mean is close enough."""


def find_mistakes(params: Params) -> list[str]:
    """Find what the tasks cannot do, with and without the overrides of experiments, and what the notebooks lack."""
    mistakes = list(_unreported(params))
    for task in type(params.tasks).model_fields:
        case = Case(params, task)
        mistakes += _of_task(case, list(case.section.rl_problems))
    said = {_key(line) for line in mistakes}
    for name in params.experiments:
        mistakes += _overridden(params, name, set(said))
    return list(dict.fromkeys(mistakes)) + find_unmet(params)


def _key(line: str) -> str:
    return line.partition(":")[0]


def _unreported(params: Params) -> Iterator[str]:
    # TensorBoard's files are also written by a smaller package.
    packages = {"none": (), "tensorboard": ("tensorboard", "tensorboardX")}.get(params.report_to, (params.report_to,))
    if packages and not any(map(find_spec, packages)):
        what = f"is not installed; `pip install {packages[0]}` beside the other packages"
        yield f"report_to: {params.report_to} {what}"


def _overridden(params: Params, name: str, said: set[str]) -> Iterator[str]:
    """Find what an experiment's overrides, and those of its variants, make wrong that was not said of the params."""
    experiment = params.experiments[name]
    for variant in (None, *experiment.variants):
        place = f"experiments.{name}.{f'variants.{variant}' if variant else 'overrides'}"
        try:
            case = resolve_case(params, name, variant)
        except ValidationError as error:
            for line in describe_all(error.errors(), Params):
                yield f"{place}.{re.sub(rf'^tasks.{experiment.task}', 'task', line)}"
            if variant is None:
                return
            continue
        if case.params is not params:
            new = [line for line in _of_task(case, experiment.rl_problems) if _key(line) not in said]
            yield from (f"{place}: {line}" for line in new)
            said |= {_key(line) for line in new}


def _of_task(case: Case, rl_problems: list[str]) -> list[str]:
    """Find what the task cannot do with its settings, documents and problems."""
    settings, place = case.settings, f"tasks.{case.task}"
    sizes = settings.model_dump(exclude={name for name in type(settings).model_fields if name.endswith("_seed")})
    large = {name: size for name, size in sizes.items() if isinstance(size, int) and size > MOST_SYMBOLS}
    if large:
        what = f"is more than {MOST_SYMBOLS}, the most that is supported"
        return [f"{place}.{name}: {size} {what}" for name, size in large.items()]
    found = load_task(case.task).refuse_documents(settings, case.section.documents)
    mistakes = [f"{place}.documents.{field}: {what}" for field, what in found]
    too_many: dict[str, tuple[int, str]] = {}
    for key, problems, number, n_problems, split in _asked(case, rl_problems):
        asked = (case.task, settings.model_dump_json(), problems.model_dump_json(), split, n_problems)
        for field, what, fit in _of_problems(*asked):
            if fit is None:
                mistakes.append(f"{place}.{key}.{field}: {what}")
            elif number not in too_many or fit < too_many[number][0]:
                too_many[number] = fit, what
    for number, (fit, what) in too_many.items():
        # Only so many were tried.
        mistakes.append(f"{number}: {what}; {'about ' if fit > MOST_DRAWN else ''}{fit} fit")
    return list(dict.fromkeys(mistakes))


def _asked(case: Case, rl_problems: list[str]) -> Iterator[tuple[str, Problems, str, int, str]]:
    """List the sets of problems: key of the distribution, distribution, key and number of problems, split."""
    params, section = case.params, case.section
    distributions = {"sft_problems": section.sft_problems}
    distributions |= {f"sft_mixes.{name}.problems": mix.problems for name, mix in section.sft_mixes.items()}
    for key, problems in distributions.items():
        if problems:
            yield key, problems, "sft.n_train", params.sft.n_train, "sft_train"
            yield key, problems, "sft.n_validation", params.sft.n_validation, "sft_validation"
    for name in rl_problems:
        yield f"rl_problems.{name}", section.rl_problems[name], "rl.n_prompts", params.rl.n_prompts, "rl"
    for name, problems in section.test_problems.items():
        yield f"test_problems.{name}", problems, "evaluation.n_problems", params.evaluation.n_problems, "test"


@cache
def _of_problems(
    task: str, settings: str, problems: str, split: str, n_problems: int
) -> list[tuple[str, str, int | None]]:
    """Find what the task cannot do with a set of problems: the field, what is wrong, and how many problems fit."""
    task = load_task(task)
    settings, problems = task.Settings.model_validate_json(settings), task.Problems.model_validate_json(problems)

    def refuse(n: int) -> dict[str, str]:
        # An OverflowError says that there are more than a float can hold.
        with suppress(OverflowError):
            return dict(task.refuse_problems(settings, problems, n, split))
        return {}

    def fits(n: int) -> bool:
        beyond = n + int(DEVIATIONS * math.sqrt(n * len(problems.difficulties)))
        if n <= MOST_DRAWN and not refuse(n) and refuse(beyond):
            try:
                task.draw_problems(settings, problems, n, split, 0)
            except ValueError:
                return False
        return not refuse(n)

    found, fit = refuse(n_problems), n_problems
    if not found and not fits(n_problems):
        found = {"n_problems": f"asks for {n_problems} problems, but split '{split}' holds fewer"}
    while "n_problems" in found and fit and not fits(fit):
        fit -= max(1, fit // 20)
    return [(field, what, fit if field == "n_problems" else None) for field, what in found.items()]
