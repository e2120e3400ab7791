"""Check, before anything starts, that tasks and notebooks can do what the params ask; mistakes begin with their key.

A notebook lists in its metadata what an experiment must have for its figure or table to be drawn::

    "selectimprove": {"needs": {"test_problems": {"6-9": {"difficulty": [6, 9], "problem_types": ["inversion"]}}}}

Metadata do not count in keys. The needs of figures and tables that are not drawn by default are checked only when they
are asked for by name.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import combinations
from typing import Literal

from pydantic import ValidationError

from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import NO_SFT, Case, Exhibit, Params, resolve_case
from selectimprove.config.sources import Notebook, notebook_path, read_notebook
from selectimprove.errors import ParamsError
from selectimprove.tasks import trial
from selectimprove.tasks.interface import Problems, load_task
from selectimprove.types import Range, Strict

MOST_SYMBOLS = 1000
"""Upper limit of a task's settings, except seeds: every element and every label is a token of the vocabulary."""


class NeededProblems(Strict):
    """Problems that a notebook needs."""

    difficulty: Range | None = None
    """Least and most steps, or parts."""
    problem_types: list[str] = []
    """Types with at least one problem each."""


class Needs(Strict):
    """Everything that a notebook needs of its experiment."""

    kind: Literal["figures", "tables"] | None = None
    """The section of the params in which it can be drawn; null: `figures` if its code saves a figure."""
    task: str | None = None
    sft_mixes: list[str] = []
    rl_problems: dict[str, NeededProblems] = {}
    test_problems: dict[str, NeededProblems] = {}
    variants: list[str] = []
    one_variant: bool = False
    """The notebook does not distinguish variants."""
    any_rl: bool = False
    """RL on at least one distribution."""
    told: bool = False
    """Models that are told strategies: ``evaluation.told_problems`` is not 0."""
    beyond_sft: bool = False
    """Test problems that are more difficult than all problems of SFT."""


def find_mistakes(params: Params) -> list[str]:
    """List what tasks cannot do, with and without the overrides of experiments, and unmet needs of notebooks."""
    mistakes = []
    for task in type(params.tasks).model_fields:
        case = Case(params, task)
        found = _of_task(case, list(case.section.rl_problems))
        wrong = None if found else trial.find_mistake(load_task(task), case.settings, case.section)
        mistakes += [*found, *([f"tasks.{task} (selectimprove.tasks.{task}): {wrong}"] if wrong else [])]
    said = {_key(line) for line in mistakes}
    for name in params.experiments:
        mistakes += _overridden(params, name, set(said))
    for name, exhibit in (params.figures | params.tables).items():
        mistakes += _of_exhibit(params, name, exhibit, exhibit.draw)
    return list(dict.fromkeys(mistakes))


def require_met(params: Params, name: str) -> None:
    """Raise a ParamsError if the needs of a figure's or table's notebook are not met."""
    if mistakes := mistakes_of(params, name):
        raise ParamsError("\n".join(f"params.yaml: {mistake}" for mistake in mistakes))


def mistakes_of(params: Params, name: str) -> list[str]:
    """List what keeps a figure or table from being drawn."""
    return list(_of_exhibit(params, name, (params.figures | params.tables)[name], drawn=True))


def _key(line: str) -> str:
    return line.partition(":")[0]


def _overridden(params: Params, name: str, said: set[str]) -> Iterator[str]:
    """List mistakes of an experiment's overrides, and of its variants', at keys that were not reported (`said`)."""
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
        yield from _equal(case, name)
        if case.params is not params:
            new = [line for line in _of_task(case, experiment.rl_problems) if _key(line) not in said]
            yield from (f"{place}: {line}" for line in new)
            said |= {_key(line) for line in new}


def _equal(case: Case, name: str) -> Iterator[str]:
    """List the SFT mixes and the RL problems of an experiment that are the same under two names."""
    section, usual = case.section, case.section.sft_problems
    mixes = {
        mix: chosen.model_copy(update={"problems": chosen.problems or usual})
        for mix, chosen in section.sft_mixes.items()
    }
    for key, known in (("sft_mixes", mixes), ("rl_problems", section.rl_problems)):
        chosen = [each for each in getattr(case.params.experiments[name], key) if each != NO_SFT]
        for one, other in combinations(chosen, 2):
            if known[one] == known[other]:
                yield f"experiments.{name}.{key}: {one} and {other} are equal for these params; leave one of them out"


def _of_task(case: Case, rl_problems: list[str]) -> list[str]:
    """List what a task cannot do with its settings, documents and problems."""
    settings, place = case.settings, f"tasks.{case.task}"
    sizes = {name: size for name, size in settings if isinstance(size, int) and not name.endswith("_seed")}
    what = f"is more than {MOST_SYMBOLS}, the most that is supported"
    if large := [f"{place}.{name}: {size} {what}" for name, size in sizes.items() if size > MOST_SYMBOLS]:
        return large
    task = load_task(case.task)
    found = task.refuse_documents(settings, case.section.documents)
    mistakes = [f"{place}.documents.{field}: {what}" for field, what in found]
    for key, problems, number, n_problems, split in _asked(case, rl_problems):
        # If there are more problems than a float can hold, there are enough.
        with suppress(OverflowError):
            for field, what in task.refuse_problems(settings, problems, n_problems, split):
                mistakes.append(f"{number if field == 'n_problems' else f'{place}.{key}.{field}'}: {what}")
    return list(dict.fromkeys(mistakes))


def _asked(case: Case, rl_problems: list[str]) -> Iterator[tuple[str, Problems, str, int, str]]:
    """List sets of problems: key of the distribution, distribution, key of the number, number, split."""
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


def _of_exhibit(params: Params, name: str, exhibit: Exhibit, drawn: bool) -> list[str]:
    key = f"{'figures' if name in params.figures else 'tables'}.{name}"
    try:
        notebook = read_notebook(notebook_path(exhibit.notebook or name))
        needs = Needs.model_validate(notebook.needs)
    except ParamsError as error:
        return [f"{key} ({str(error).replace(': ', '): ', 1)}"]
    except ValidationError as error:
        lines = describe_all(error.errors(), Needs)
        return [f"{key} ({notebook.path}): metadata.selectimprove.needs.{line}".replace(".: ", ": ") for line in lines]
    unmet = list(_of_experiment(needs, params, exhibit.experiment)) if drawn else []
    kind = needs.kind or notebook.kind
    if drawn and kind and not key.startswith(kind):
        unmet.append(f"draws a {kind[:-1]}; put it under {kind}, or say `kind` in metadata.selectimprove.needs")
    if drawn and not notebook.language:
        unmet.append("metadata.language_info.name: missing; a notebook of Python has python there")
    plot = _of_plot(f"{key}.plot", exhibit.plot, notebook)
    return [*plot, *(f"{key} ({notebook.path}): {what}" for what in dict.fromkeys(unmet))]


def _of_plot(key: str, plot: dict, notebook: Notebook) -> Iterator[str]:
    """Compare an exhibit's ``plot`` with the parameters that its notebook takes."""
    takes = notebook.parameters.get("plot")
    if not isinstance(takes, dict) or not takes:
        return
    unknown = [line for name in plot for line in unknown_name(f"{key}.{name}", name, takes)]
    yield from unknown
    for name, usual in takes.items() if not unknown else ():
        if name not in plot:
            yield f"{key}: '{name}' is missing; {notebook.path} takes {', '.join(takes)}"
        elif isinstance(usual, int | float) and not (isinstance(plot[name], int | float) and plot[name] > 0):
            yield f"{key}.{name}: should be a number above 0, as {usual}, not {plot[name]!r}"


def _of_experiment(needs: Needs, params: Params, name: str) -> Iterator[str]:
    experiment, owner = params.experiments[name], f"experiments.{name}"
    yield from _lacking(needs.sft_mixes, experiment.sft_mixes, "the SFT mix", owner)
    yield from _lacking(needs.rl_problems, experiment.rl_problems, "RL problems", owner)
    yield from _lacking(needs.variants, experiment.variants, "the variant", owner)
    if needs.one_variant and len(experiment.variants) > 1:
        yield f"draws one variant, but {owner} has {', '.join(experiment.variants)}"
    if needs.any_rl and not experiment.rl_problems:
        yield f"needs RL, but {owner} has no rl_problems"
    if needs.task not in (None, experiment.task):
        yield f"draws the task {needs.task}, but {owner} is of {experiment.task}"
        return
    for variant in experiment.variants:
        # Mistakes of a variant are reported by `_overridden`.
        with suppress(ValidationError):
            yield from _of_case(needs, resolve_case(params, name, variant), owner)


def _lacking(needed: Iterable[str], given: Iterable[str], what: str, owner: str) -> Iterator[str]:
    for name in needed:
        if name not in given:
            yield f"needs {what} '{name}', which {owner} does not have; it has {', '.join(given) or 'none'}"


def _of_case(needs: Needs, case: Case, owner: str) -> Iterator[str]:
    section, evaluation = case.section, case.params.evaluation
    unit = case.settings.difficulty.removeprefix("n_")
    yield from _lacking(needs.test_problems, section.test_problems, "test problems", owner)
    for wanted, given, what, n_problems in (
        (needs.test_problems, section.test_problems, "test problems", evaluation.n_problems),
        (needs.rl_problems, section.rl_problems, "RL problems", case.params.rl.n_prompts),
    ):
        for name in wanted.keys() & given.keys():
            needed, ends = wanted[name].difficulty, (given[name].difficulties[0], given[name].difficulties[-1])
            if needed not in (None, ends):
                differs = f"of {list(needed)} {unit}, not {list(ends)}; give other problems a name of their own"
                yield f"needs {what} '{name}' {differs}"
            counts = given[name].count_types(n_problems)
            for problem_type in wanted[name].problem_types:
                if not counts.get(problem_type):
                    none = f"of which there are none among {n_problems}"
                    yield f"needs {problem_type} problems among {what} '{name}', {none}"
    if needs.told and not evaluation.told_problems:
        yield f"needs models that are told strategies, but evaluation.told_problems of {owner} is 0"
    if needs.told and not load_task(case.task).openings:
        yield f"needs models that are told strategies, and those of the task {case.task} cannot be told any"
    hardest = max(problems.difficulties[-1] for problems in section.test_problems.values())
    shown = max((mix.problems or section.sft_problems).difficulties[-1] for mix in section.sft_mixes.values())
    if needs.beyond_sft and hardest <= shown:
        have = f"which have up to {shown} {unit}; those of tests have up to {hardest}"
        yield f"needs test problems beyond those of SFT, {have}"
