"""Checks of one artifact: its record, its files, and what can be found anew from its inputs."""

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.provenance import RECORD, folder_hashes, read_record
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.command import snakemake_command
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError
from selectimprove.tasks.interface import load_task

SAFE = {".parquet", ".json", ".safetensors", ".csv", ".md", ".rst", ".ipynb", ".png", ".pdf", ".svg", ".jinja"}
"""Suffixes of files that no reader has to unpickle."""
BROKEN = (KeyError, ValueError, OSError, IndexError)
"""What is raised where an artifact is read that is not what it should be."""


def has_record(artifact: Artifact) -> bool:
    """Tell whether an artifact is there, with a config and a record that can be read."""
    try:
        read_record(artifact.folder / "config.json")
        return {"inputs", "files", "source"} <= read_record(artifact.done).keys()
    except ParamsError:
        return False


def check_record(artifact: Artifact, scale: str | None = None) -> Iterator[str]:
    """Compare an artifact's config, inputs and files with the plan and with what was recorded when it was made."""
    try:
        provenance, config = (read_record(artifact.folder / name) for name in (RECORD, "config.json"))
    except ParamsError as error:
        yield f"{error}; remove {artifact.folder} and run `{snakemake_command(scale, artifact.done)}`"
        return
    if config != artifact.config.model_dump(mode="json"):
        yield f"{artifact.folder}/config.json: is not the config of the key {artifact.digest}"
    if provenance.get("inputs") != {role: source.name for role, source in artifact.inputs.items()}:
        yield f"{artifact.done}: names other inputs than the key {artifact.digest} stands for"
    if provenance.get("source") != artifact.source:
        yield f"{artifact.done}: was made by other code than the key {artifact.digest} stands for"
    yield from check_files(artifact.folder, provenance.get("files", {}))


def check_files(folder: Path, recorded: dict[str, str]) -> Iterator[str]:
    """Compare an artifact's files with the hashes that were recorded when it was made."""
    found = folder_hashes(folder)
    for name in sorted(recorded.keys() | found.keys()):
        if name not in found:
            yield f"{folder / name}: is missing"
        elif name not in recorded:
            yield f"{folder / name}: was not there when the artifact was made"
        elif found[name] != recorded[name]:
            yield f"{folder / name}: has changed since it was made (SHA-256)"
        elif Path(name).suffix not in SAFE:
            yield f"{folder / name}: might hold code; only safetensors, Parquet, JSON and text are expected"


def read_table(path: Path) -> pd.DataFrame | str:
    """Read Parquet or CSV as a table, anything else as text."""
    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    return readers.get(path.suffix, Path.read_text)(path)


def first_difference(found, expected, exact: bool = False) -> str | None:
    """Say where two tables or texts differ first; None if they agree, numbers to nine digits or to the last bit."""
    if isinstance(expected, str):
        return None if found == expected else "text differs"
    if len(found) != len(expected):
        return f"{len(found)} rows, not {len(expected)}"
    if list(found.columns) != list(expected.columns):
        return f"columns {list(found.columns)}, not {list(expected.columns)}"
    for column in expected:
        try:
            pd.testing.assert_series_equal(
                found[column], expected[column], rtol=1e-9, check_dtype=exact, check_exact=exact
            )
        except AssertionError:
            pairs = zip(found[column], expected[column], strict=True)
            row = next((i for i, (a, b) in enumerate(pairs) if str(a) != str(b)), 0)
            return f"row {row}, column {column}: {found[column][row]!r}, not {expected[column][row]!r}"
    return None


def check_remade(artifact: Artifact) -> Iterator[str]:
    """Make an artifact again from its inputs and compare what holds data."""
    inputs = {role: source.folder for role, source in artifact.inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        try:
            STAGES[artifact.stage].function(artifact.config, inputs, Path(folder))
        except Exception as error:
            yield f"{artifact.folder}: cannot be made again from its inputs: {type(error).__name__}: {error}"
            return
        for again in sorted(Path(folder).rglob("*")):
            path = artifact.folder / again.relative_to(folder)
            if again.suffix in (".parquet", ".csv", ".md", ".json", ".svg", ".rst") and path.exists():
                difference = first_difference(read_table(path), read_table(again))
                if difference:
                    yield f"{path}: differs from what its inputs give: {difference}"


def answers_rightly(completion: str, answer: str) -> bool:
    """Reward a completion by other code than the task's."""
    return re.search(rf"(?:^|\s)answer\s+{re.escape(answer)}\s*$", completion) is not None


def _problems_of(artifact: Artifact) -> pd.DataFrame:
    """Read the problems of an artifact, with their answers as responses write them, by number."""
    table = pd.read_parquet(artifact.folder / "problems.parquet").set_index("problem_id")
    answer_text = load_task(artifact.config.task_name).answer_text
    return table.assign(answer=table["answer"].map(answer_text))


def check_rollouts(artifact: Artifact) -> Iterator[str]:
    """Reward all rollouts of a training anew, and count them."""
    n_steps, per_step, are_outcomes = artifact.config.rollouts
    rows = pd.read_parquet(artifact.folder / "rollouts.parquet")
    problems = _problems_of(artifact.inputs["problems"])
    path = artifact.folder / "rollouts.parquet"
    answers = problems["answer"].reindex(rows["problem_id"])
    drawn = zip(rows["completion"], answers, rows["reward"], strict=True) if are_outcomes else ()
    for row, (completion, answer, reward) in enumerate(drawn):
        if reward != float(answers_rightly(completion, answer)):
            yield f"{path}: row {row}: reward {reward:g} is not the outcome of its completion"
    sizes = rows.groupby("step").size()
    if len(sizes) != n_steps or set(sizes) != {per_step}:
        yield f"{path}: not {per_step} rollouts for each of {n_steps} steps"


def check_generations(artifact: Artifact) -> Iterator[str]:
    """Check that every checkpoint answered every problem as often as it should have, once each."""
    path = artifact.folder / "generations.parquet"
    rows = pd.read_parquet(path)
    keys = ["rl_step", "problem_set", "problem_id", "sample"]
    if rows.duplicated(keys).any():
        row = rows.index[rows.duplicated(keys)][0]
        yield f"{path}: row {row} is there twice: {rows.loc[row, keys].to_dict()}"
    sets = {role: source for role, source in artifact.inputs.items() if role not in ("policy", "base")}
    config, sizes = artifact.config, [source.config.n_problems for source in sets.values()]
    kept = [*artifact.inputs["policy"].checkpoints] or [0]
    asked, found = kept if config.checkpoints == "all" else kept[-1:], sorted(set(rows["rl_step"]))
    if found != asked:
        yield f"{path}: generations of the RL steps {found}, not {asked}"
    before_last = (len(asked) - 1) * sum(min(size, config.curve_problems) for size in sizes)
    wanted = config.n_samples * (before_last + sum(sizes))
    if len(rows) != wanted:
        yield f"{path}: {len(rows)} generations, not {wanted}"
    if config.told_problems:
        path = artifact.folder / "interventions.parquet"
        n_told = len(load_task(config.task_name).openings)
        per_problem = 1 + n_told * (1 + config.n_samples)
        found, wanted = len(pd.read_parquet(path)), per_problem * sum(min(n, config.told_problems) for n in sizes)
        if found != wanted:
            yield f"{path}: {found} generations, not {wanted}"


def count_pass_at_1(artifact: Artifact) -> dict[tuple, Fraction]:
    """Count pass@1 of an evaluation exactly, by RL step, problem set, problem type and difficulty."""
    difficulty, asked = artifact.config.task.difficulty, {}
    for role, source in artifact.inputs.items():
        if role not in ("policy", "base"):
            for problem_id, row in _problems_of(source).iterrows():
                asked[role, problem_id] = (row["problem_type"], str(row[difficulty])), row["answer"]
    passed = defaultdict(list)
    for row in pd.read_parquet(artifact.folder / "generations.parquet").itertuples():
        kind, answer = asked[row.problem_set, row.problem_id]
        passed[row.rl_step, row.problem_set, *kind].append(answers_rightly(row.completion, answer))
    return {cell: Fraction(sum(values), len(values)) for cell, values in passed.items()}


def check_pass_rates(artifact: Artifact) -> Iterator[str]:
    """Compare the pass rates of an experiment with a second count, from generations."""
    path = artifact.folder / "pass_rates.parquet"
    difficulty = load_task(artifact.config.task_name).Settings.difficulty
    keys = ["variant", "sft", "training", "seed", "rl_step", "problem_set", "problem_type", difficulty]
    rates = pd.read_parquet(path).set_index(keys)["pass_at_1"]
    for run in artifact.config.runs:
        generations = artifact.inputs[f"labels/{run.name}"].inputs["evaluation"]
        for cell, rate in count_pass_at_1(generations).items():
            model = (run.variant, run.sft, run.training, str(run.seed))
            if abs(rates[(*model, *cell)] - float(rate)) > 1e-12:
                yield f"{path}: pass@1 of {'/'.join(model)} in {cell} is {rates[(*model, *cell)]}, counted {rate}"


CHECKS = {
    "remade": check_remade,
    "rollouts": check_rollouts,
    "generations": check_generations,
    "pass_rates": check_pass_rates,
}
"""By the name under which a row of the table of stages asks for them."""


def check_artifact(artifact: Artifact, scale: str | None = None) -> list[str]:
    """Run all checks of one artifact that is there, in any process."""
    mistakes = list(check_record(artifact, scale))
    if not has_record(artifact) or not all(has_record(source) for source in artifact.inputs.values()):
        return mistakes
    for name in STAGES[artifact.stage].checks:
        try:
            mistakes += CHECKS[name](artifact)
        except BROKEN as error:
            mistakes.append(f"{artifact.folder}: cannot be read: {type(error).__name__}: {error}")
    return mistakes
