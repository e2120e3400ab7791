"""What figures and tables need of their experiments, as their notebooks say it, against what the params give.

Of those that are not drawn by default, what they are given as ``plot`` is compared alone, and the rest when one is asked for by name: no other
scale need have their experiments.

A notebook says in its metadata what an experiment must have for its figure or table to show what its title promises::

    "selectimprove": {"needs": {"test_problems": {"6-9": {"difficulty": [6, 9], "problem_types": ["evaluation", "inversion"]}}}}

Metadata are no code: they do not count in the figure's key.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from selectimprove.config.files.notebooks import Notebook, read_notebook
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import Exhibit, Experiment, Params
from selectimprove.config.resolving import Case, notebook_of, resolve_case
from selectimprove.tasks.interface import Problems, load_task
from selectimprove.types import ParamsError, Range, Strict


class NeededProblems(Strict):
    """A distribution of problems."""

    difficulty: Range | None = None
    """Fewest and most steps, or parts."""
    problem_types: list[str] = []
    """Each is there at least once."""


class Needs(Strict):
    """What a notebook draws from."""

    task: str | None = None
    sft_mixes: list[str] = []
    rl_problems: dict[str, NeededProblems] = {}
    test_problems: dict[str, NeededProblems] = {}
    variants: list[str] = []
    one_variant: bool = False
    """No variant beside one: the notebook does not tell them apart."""
    any_rl: bool = False
    """RL on at least one distribution."""
    told: bool = False
    """Models are told strategies: ``evaluation.told_problems`` is not 0."""
    beyond_sft: bool = False
    """Test problems more difficult than any of SFT."""


def find_unmet(params: Params) -> list[str]:
    """Find what the notebooks of figures and tables that are drawn need and the params do not give.

    Returns
    -------
    list of str
        A line for each mistake, beginning with the key of the figure or table; with the notebook where that is to be mended.
    """
    mistakes = []
    for kind, exhibits in (("figures", params.figures), ("tables", params.tables)):
        for name, exhibit in exhibits.items():
            key, path = f"{kind}.{name}", notebook_of(name, exhibit)
            if not path.is_file():
                mistakes.append(f"{key}: there is no workflow/notebooks/{path.name}; add it or remove the entry")
            else:
                mistakes += _of_exhibit(params, key, exhibit, path, drawn=exhibit.draw)
    return list(dict.fromkeys(mistakes))


def require_met(params: Params, name: str) -> None:
    """Refuse to draw a figure or table whose notebook needs what the params do not give; what is drawn by default `find_unmet` has checked.

    Raises
    ------
    ParamsError
        With a line for each mistake, as from `find_unmet`.
    """
    kind, exhibit = ("figures", params.figures[name]) if name in params.figures else ("tables", params.tables[name])
    if exhibit.draw:
        return
    if mistakes := _of_exhibit(params, f"{kind}.{name}", exhibit, notebook_of(name, exhibit), drawn=True):
        raise ParamsError("\n".join(f"params.yaml: {mistake}" for mistake in mistakes))


def _of_exhibit(params: Params, key: str, exhibit: Exhibit, path: Path, drawn: bool) -> list[str]:
    try:
        notebook = read_notebook(path)
        needs = Needs.model_validate(notebook.needs)
    except ValidationError as error:
        lines = describe_all(error.errors(), Needs)
        return [f"{key} ({notebook.path}): metadata.selectimprove.needs.{line}".replace(".: ", ": ") for line in lines]
    except ParamsError as error:
        return [f"{key} ({line.replace(': ', '): ', 1)}" for line in str(error).splitlines()]
    mistakes = _plotted(f"{key}.plot", exhibit.plot, notebook)
    if not drawn:
        return mistakes
    if not notebook.has_language:
        mistakes.append(
            f"{key} ({notebook.path}): metadata.language_info.name: missing; a notebook of Python has python there"
        )
    experiment = params.experiments[exhibit.experiment]
    unmet = list(_of_experiment(needs, exhibit.experiment, experiment))
    for variant in experiment.variants:
        try:
            case = resolve_case(params, exhibit.experiment, variant)
        except ValidationError:
            # It is said already, where the variant is.
            continue
        unmet += _of_case(needs, case, exhibit.experiment)
    return mistakes + [f"{key} ({notebook.path}): {what}" for what in dict.fromkeys(unmet)]


def _plotted(key: str, plot: dict, notebook: Notebook) -> list[str]:
    """Compare what a notebook is to be given as ``plot`` with what it takes."""
    takes = notebook.parameters.get("plot")
    if not isinstance(takes, dict) or not takes:
        return []
    mistakes = [line for name in plot for line in unknown_name(f"{key}.{name}", name, takes)]
    if mistakes:
        return mistakes
    for name, usual in takes.items():
        if name not in plot:
            mistakes.append(f"{key}: '{name}' is missing; {notebook.path} takes {', '.join(takes)}")
        elif isinstance(usual, int | float) and not (isinstance(plot[name], int | float) and plot[name] > 0):
            mistakes.append(f"{key}.{name}: should be a number above 0, as {usual}, not {plot[name]!r}")
    return mistakes


def _lacking(needed: Iterable[str], given: Iterable[str], what: str, owner: str) -> Iterator[str]:
    given = list(given)
    for name in needed:
        if name not in given:
            yield f"needs {what} '{name}', which {owner} does not have; it has {', '.join(given) or 'none'}"


def _of_experiment(needs: Needs, name: str, experiment: Experiment) -> Iterator[str]:
    owner = f"experiments.{name}"
    yield from _lacking(needs.sft_mixes, experiment.sft_mixes, "the SFT mix", owner)
    yield from _lacking(needs.rl_problems, experiment.rl_problems, "RL problems", owner)
    yield from _lacking(needs.variants, experiment.variants, "the variant", owner)
    if needs.one_variant and len(experiment.variants) > 1:
        yield f"draws one variant, but {owner} has {', '.join(experiment.variants)}"
    if needs.any_rl and not experiment.rl_problems:
        yield f"needs RL, but {owner} has no rl_problems"


def _of_case(needs: Needs, case: Case, name: str) -> Iterator[str]:
    """Find what a variant of an experiment lacks."""
    if needs.task is not None and needs.task != case.task:
        yield f"draws the task {needs.task}, but experiments.{name} is of {case.task}"
        return
    section, evaluation = case.section, case.params.evaluation
    yield from _lacking(needs.test_problems, section.test_problems, "test problems", f"experiments.{name}")
    for wanted, given, what, n_problems in (
        (needs.test_problems, section.test_problems, "test problems", evaluation.n_problems),
        (needs.rl_problems, section.rl_problems, "RL problems", case.params.rl.n_prompts),
    ):
        for problems in wanted.keys() & given.keys():
            yield from _differing(wanted[problems], case, given[problems], f"{what} '{problems}'", n_problems)
    if needs.told and not evaluation.told_problems:
        yield f"needs models that are told strategies, but evaluation.told_problems of experiments.{name} is 0"
    if needs.told and not load_task(case.task).openings:
        yield f"needs models that are told strategies, and those of the task {case.task} cannot be told any"
    hardest = max(problems.difficulties[-1] for problems in section.test_problems.values())
    shown = max((mix.problems or section.sft_problems).difficulties[-1] for mix in section.sft_mixes.values())
    if needs.beyond_sft and hardest <= shown:
        unit = case.settings.difficulty.removeprefix("n_")
        yield f"needs test problems beyond those of SFT, which have up to {shown} {unit}; those of tests have up to {hardest}"


def _differing(needed: NeededProblems, case: Case, given: Problems, what: str, n_problems: int) -> Iterator[str]:
    """Find in what problems of the right name are not those that a notebook needs."""
    ends = given.difficulties[0], given.difficulties[-1]
    if needed.difficulty and needed.difficulty != ends:
        unit = case.settings.difficulty.removeprefix("n_")
        yield f"needs {what} of {list(needed.difficulty)} {unit}, not {list(ends)}; give other problems a name of their own"
    types = {problem_type for problem_type, n in given.count_types(n_problems).items() if n}
    for problem_type in needed.problem_types:
        if problem_type not in types:
            yield f"needs {problem_type} problems among {what}, of which there are none among {n_problems}"
