"""Compare what the notebooks of figures and tables need with what the params give.

A notebook says in its metadata what an experiment must have for its figure or table to show what the title promises::

    "selectimprove": {"needs": {"test_problems": {"6-9": {"difficulty": [6, 9], "problem_types": ["inversion"]}}}}

Metadata do not count in the figure's key. Of figures and tables that are not drawn by default, only ``plot`` is
compared until one is asked for by name: other scales need not have their experiments.
"""

from collections.abc import Iterator

from pydantic import ValidationError

from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import Exhibit, Params
from selectimprove.config.resolving import Case, notebook_of, resolve_case
from selectimprove.config.sources import Notebook, read_notebook
from selectimprove.errors import ParamsError
from selectimprove.tasks.interface import load_task
from selectimprove.types import Range, Strict


class NeededProblems(Strict):
    """A distribution of problems."""

    difficulty: Range | None = None
    """Fewest and most steps, or parts."""
    problem_types: list[str] = []
    """Types with at least one problem each."""


class Needs(Strict):
    """What a notebook draws from."""

    task: str | None = None
    sft_mixes: list[str] = []
    rl_problems: dict[str, NeededProblems] = {}
    test_problems: dict[str, NeededProblems] = {}
    variants: list[str] = []
    one_variant: bool = False
    """The notebook does not tell variants apart."""
    any_rl: bool = False
    """RL on at least one distribution."""
    told: bool = False
    """Models are told strategies: ``evaluation.told_problems`` is not 0."""
    beyond_sft: bool = False
    """Test problems more difficult than any of SFT."""


def find_unmet(params: Params) -> list[str]:
    """Return a line per unmet need: the key of the figure or table, its notebook in brackets, and the need."""
    return [
        line
        for kind, exhibits in (("figures", params.figures), ("tables", params.tables))
        for name, exhibit in exhibits.items()
        for line in _of_exhibit(params, f"{kind}.{name}", name, exhibit, exhibit.draw)
    ]


def require_met(params: Params, name: str) -> None:
    """Refuse a figure or table that is asked for by name and has needs that are not met, with a ParamsError."""
    kind, exhibit = ("figures", params.figures[name]) if name in params.figures else ("tables", params.tables[name])
    if mistakes := _of_exhibit(params, f"{kind}.{name}", name, exhibit, drawn=True):
        raise ParamsError("\n".join(f"params.yaml: {mistake}" for mistake in mistakes))


def _of_exhibit(params: Params, key: str, name: str, exhibit: Exhibit, drawn: bool) -> list[str]:
    path = notebook_of(name, exhibit)
    if not path.is_file():
        return [f"{key}: there is no workflow/notebooks/{path.name}; add it or remove the entry"]
    try:
        notebook = read_notebook(path)
        needs = Needs.model_validate(notebook.needs)
    except ValidationError as error:
        lines = describe_all(error.errors(), Needs)
        return [f"{key} ({notebook.path}): metadata.selectimprove.needs.{line}".replace(".: ", ": ") for line in lines]
    except ParamsError as error:
        return [f"{key} ({str(error).replace(': ', '): ', 1)}"]
    mistakes = list(_of_plot(f"{key}.plot", exhibit.plot, notebook))
    if not drawn:
        return mistakes
    unmet = []
    if not notebook.language:
        unmet.append("metadata.language_info.name: missing; a notebook of Python has python there")
    unmet += _of_experiment(needs, params, exhibit.experiment)
    return mistakes + [f"{key} ({notebook.path}): {what}" for what in dict.fromkeys(unmet)]


def _of_plot(key: str, plot: dict, notebook: Notebook) -> Iterator[str]:
    """Compare what a notebook is given as ``plot`` with what it takes."""
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
    for needed, given, what in (
        (needs.sft_mixes, experiment.sft_mixes, "the SFT mix"),
        (needs.rl_problems, experiment.rl_problems, "RL problems"),
        (needs.variants, experiment.variants, "the variant"),
    ):
        yield from _lacking(needed, given, what, owner)
    if needs.one_variant and len(experiment.variants) > 1:
        yield f"draws one variant, but {owner} has {', '.join(experiment.variants)}"
    if needs.any_rl and not experiment.rl_problems:
        yield f"needs RL, but {owner} has no rl_problems"
    if needs.task not in (None, experiment.task):
        yield f"draws the task {needs.task}, but {owner} is of {experiment.task}"
        return
    for variant in experiment.variants:
        try:
            yield from _of_case(needs, resolve_case(params, name, variant), owner)
        except ValidationError:
            # The mistake in the variant is reported where the variant is.
            continue


def _lacking(needed, given, what: str, owner: str) -> Iterator[str]:
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
