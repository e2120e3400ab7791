"""Verification: is every result what it says it is?

Every artifact's files hash to what was recorded when they were made. For each that the params ask for: it lies under the key of
today's config and source, its config and inputs are the plan's, and its record hashes to what was published. What needs no model is then made
again from its inputs and compared: problems, demonstrations, labels, measures, exhibits and verdicts. Rollouts are rewarded anew,
pass@1 is counted a second time by other code, and training and test problems are compared by content. The published copies
must be those of the artifacts. Nothing is unpickled, and torch is not needed.
"""

import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from snakemake.exceptions import WorkflowError

from selectimprove import (
    audit,
    compositions,
    datasets,
    demonstrations,
    exhibit,
    label,
    label_compositions,
    measure,
    measure_compositions,
    page,
    publish,
)
from selectimprove.changes import explain
from selectimprove.plan import RESULTS, Artifact, Plan
from selectimprove.provenance import file_hash, folder_hashes

REMADE = {
    "problems": datasets.generate_problems,
    "demonstrations": demonstrations.write_demonstrations,
    "labels": label.label_model,
    "compositions": compositions.generate_compositions,
    "composition_labels": label_compositions.label_compositions,
    "measures": measure.measure_experiment,
    "composition_measures": measure_compositions.measure_experiment,
    "exhibits": exhibit.draw_exhibit,
    "verdicts": audit.audit_claims,
}
"""What makes the artifacts of each stage that runs in seconds and without a model."""

SAFE = {".parquet", ".json", ".safetensors", ".csv", ".md", ".rst", ".ipynb", ".png", ".pdf", ".svg", ".jinja"}
"""Suffixes of files that no reader has to unpickle."""


def check_record(artifact: Artifact) -> Iterator[str]:
    """Compare an artifact's config, inputs and files with the plan and with what was recorded when it was made."""
    if not artifact.done.exists():
        yield f"{artifact.folder}: not there under its key: {explain(artifact)}"
        return
    provenance = json.loads(artifact.done.read_text())
    config = json.loads((artifact.folder / "config.json").read_text())
    if config != artifact.config.model_dump(mode="json"):
        yield f"{artifact.folder}/config.json: is not the config of the key {artifact.digest}"
    if provenance["inputs"] != {role: source.name for role, source in artifact.inputs.items()}:
        yield f"{artifact.done}: names other inputs than the key {artifact.digest} stands for"
    yield from check_files(artifact.folder, provenance["files"])


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


def check_others(plan: Plan) -> Iterator[str]:
    """Check the files of the artifacts that today's params do not ask for, made under others."""
    for stage, artifacts in plan.artifacts.items():
        for done in sorted((RESULTS / stage).glob("*/provenance.json")):
            if done.parent.name not in artifacts and done.parent.suffix != ".partial":
                yield from check_files(done.parent, json.loads(done.read_text())["files"])


def read_table(path: Path) -> pd.DataFrame | str:
    """Read Parquet or CSV as a table, anything else as text."""
    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    return readers.get(path.suffix, Path.read_text)(path)


def first_difference(found, expected) -> str | None:
    """Say where two tables or texts differ first; None if they agree, numbers to nine digits."""
    if isinstance(expected, str):
        return None if found == expected else "text differs"
    if len(found) != len(expected):
        return f"{len(found)} rows, not {len(expected)}"
    if list(found.columns) != list(expected.columns):
        return f"columns {list(found.columns)}, not {list(expected.columns)}"
    for column in expected:
        try:
            pd.testing.assert_series_equal(found[column], expected[column], rtol=1e-9, check_dtype=False)
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
            REMADE[artifact.stage](artifact.config, inputs, Path(folder))
        except Exception as error:
            yield f"{artifact.folder}: cannot be made again from its inputs: {type(error).__name__}: {error}"
            return
        for again in sorted(Path(folder).rglob("*")):
            path = artifact.folder / again.relative_to(folder)
            if again.suffix in (".parquet", ".csv", ".md", ".json") and path.exists():
                difference = first_difference(read_table(path), read_table(again))
                if difference:
                    yield f"{path}: differs from what its inputs give: {difference}"


def _passes(completion: str, answer: int) -> bool:
    """Reward a completion by other code than `selectimprove.reward`."""
    found = re.search(r"(?:^|\s)answer\s+e(0|[1-9][0-9]*)\s*$", completion)
    return found is not None and int(found[1]) == answer


def check_rollouts(artifact: Artifact) -> Iterator[str]:
    """Reward all rollouts of an RL artifact anew, and count them."""
    rl = artifact.config.rl
    rows = pd.read_parquet(artifact.folder / "rollouts.parquet")
    problems = pd.read_parquet(artifact.inputs["problems"].folder / "problems.parquet").set_index("problem_id")
    path = artifact.folder / "rollouts.parquet"
    answers = problems["answer"].reindex(rows["problem_id"])
    for row, (completion, answer, reward) in enumerate(zip(rows["completion"], answers, rows["reward"], strict=True)):
        if reward != float(_passes(completion, answer)):
            yield f"{path}: row {row}: reward {reward:g} is not the outcome of its completion"
    sizes = rows.groupby("step").size()
    if len(sizes) != rl.n_steps or set(sizes) != {rl.prompts_per_step * rl.group_size}:
        yield f"{path}: not {rl.prompts_per_step * rl.group_size} rollouts for each of {rl.n_steps} steps"


def check_generations(artifact: Artifact) -> Iterator[str]:
    """Check that every checkpoint answered every problem as often as it should have, once each."""
    path = artifact.folder / "generations.parquet"
    rows = pd.read_parquet(path)
    keys = ["rl_step", "problem_set", "problem_id", "sample"]
    if rows.duplicated(keys).any():
        row = rows.index[rows.duplicated(keys)][0]
        yield f"{path}: row {row} is there twice: {rows.loc[row, keys].to_dict()}"
    sets = {role: source for role, source in artifact.inputs.items() if role not in ("policy", "base")}
    wanted = rows["rl_step"].nunique() * artifact.config.n_samples * sum(s.config.n_problems for s in sets.values())
    if len(rows) != wanted:
        yield f"{path}: {len(rows)} generations, not {wanted}"


def count_pass_at_1(artifact: Artifact) -> dict[tuple[int, str, str], Fraction]:
    """Count pass@1 of an evaluation exactly, by RL step, problem set and problem type."""
    answers = {}
    for role, source in artifact.inputs.items():
        if role not in ("policy", "base"):
            for row in pd.read_parquet(source.folder / "problems.parquet").itertuples():
                answers[role, row.problem_id] = (row.problem_type, row.answer)
    passed = defaultdict(list)
    for row in pd.read_parquet(artifact.folder / "generations.parquet").itertuples():
        problem_type, answer = answers[row.problem_set, row.problem_id]
        passed[row.rl_step, row.problem_set, problem_type].append(_passes(row.completion, answer))
    return {cell: Fraction(sum(values), len(values)) for cell, values in passed.items()}


def check_pass_rates(artifact: Artifact) -> Iterator[str]:
    """Compare the pass rates of an experiment with a second count, from generations."""
    path = artifact.folder / "pass_rates.parquet"
    rates = pd.read_parquet(path).query("n_steps == 'all' and problem_type != 'all' and seed != 'pooled'")
    rates = rates.set_index(["variant", "sft", "training", "seed", "rl_step", "step_range", "problem_type"])[
        "pass_at_1"
    ]
    for run in artifact.config.runs:
        generations = artifact.inputs[f"labels/{run.name}"].inputs["evaluation"]
        for cell, rate in count_pass_at_1(generations).items():
            model = (run.variant, run.sft, run.training, str(run.seed))
            if abs(rates[(*model, *cell)] - float(rate)) > 1e-12:
                yield f"{path}: pass@1 of {'/'.join(model)} in {cell} is {rates[(*model, *cell)]}, counted {rate}"


def check_pass_rates_by_parts(artifact: Artifact) -> Iterator[str]:
    """Compare the pass rates of an experiment on compositions with a second count, from generations."""
    path = artifact.folder / "pass_rates.parquet"
    rates = pd.read_parquet(path).query("seed != 'pooled'")
    rates = rates.set_index(["sft", "training", "seed", "rl_step", "n_parts"])["pass_at_1"]
    for run in artifact.config.runs:
        inputs = artifact.inputs[f"labels/{run.name}"].inputs
        problems = pd.read_parquet(inputs["test"].folder / "problems.parquet").set_index("problem_id")
        passed = defaultdict(list)
        for row in pd.read_parquet(inputs["evaluation"].folder / "generations.parquet").itertuples():
            problem = problems.loc[row.problem_id]
            passed[row.rl_step, problem["n_parts"]].append(_passes(row.completion, problem["answer"]))
        for cell, values in passed.items():
            key = (run.sft, run.training, str(run.seed), *cell)
            rate = sum(values) / len(values)
            if abs(rates[key] - rate) > 1e-9:
                yield f"{path}: pass@1 of {run.name} in {cell} is {rates[key]}, counted {rate}"


def check_leaks(plan: Plan) -> Iterator[str]:
    """Look for test problems among those of training, by content, whatever their type and labels."""
    chains = defaultdict(dict)
    columns = {
        "problems": ["start", "operations", "operands"],
        "compositions": ["starts", "operations", "operands", "part_steps"],
    }
    for stage, parts in columns.items():
        for artifact in plan.artifacts[stage].values():
            table = pd.read_parquet(artifact.folder / "problems.parquet")
            order, use = artifact.config.task.field_order, "test" if artifact.config.split == "test" else "training"
            contents = zip(table["problem_id"], *(table[part] for part in parts), strict=True)
            for problem_id, *content in contents:
                chain = (order, *(tuple(part) if np.ndim(part) else part for part in content))
                chains[use][chain] = (artifact.folder, problem_id)
    for chain in chains["test"].keys() & chains["training"].keys():
        (test, at), (training, number) = chains["test"][chain], chains["training"][chain]
        yield f"{training}/problems.parquet: problem {number} is test problem {at} of {test.name}"


def check_published(plan: Plan) -> Iterator[str]:
    """Compare what people look at with the artifacts, the manifests and the metrics."""
    copies = {str(target): source for target, source in publish.copies(plan).items()}
    copies |= {str(publish.AUDIT / name): plan.audit.folder / name for name in publish.AUDIT_FILES}
    for target, source in copies.items():
        if not Path(target).exists():
            yield f"{target}: is missing; run `snakemake --cores all figures audit`"
        elif source.exists() and file_hash(Path(target)) != file_hash(source):
            yield f"{target}: is not the file of {source}"
    expected = publish.manifest(plan)
    for path in (publish.MANIFEST, publish.keyed_manifest(plan)):
        if not path.exists():
            yield f"{path}: is missing"
            continue
        manifest = json.loads(path.read_text())
        for part in ("scale", "made_from"):
            if manifest.get(part) != expected[part]:
                yield f"{path}: {part} is not that of the params"
        for part in ("files", "provenance"):
            for name in sorted(manifest.get(part, {}).keys() | expected[part].keys()):
                if manifest.get(part, {}).get(name) != expected[part].get(name):
                    yield f"{path}: {name} is not as it was published"
        for name, entry in manifest.get("undrawn", {}).get("files", {}).items():
            if not (RESULTS / name).exists() or file_hash(RESULTS / name) != entry["sha256"]:
                yield f"{RESULTS / name}: is not as it was published, by other params than today's ({path})"
    if publish.PAGE.exists() and publish.PAGE.read_text() != page.write_page(plan):
        yield f"{publish.PAGE}: is not the page of these artifacts"
    elif not publish.PAGE.exists():
        yield f"{publish.PAGE}: is missing; run `snakemake --cores all audit`"
    metrics = json.loads((RESULTS / "metrics.json").read_text()) if (RESULTS / "metrics.json").exists() else None
    if metrics != publish.metrics(plan):
        yield f"{RESULTS / 'metrics.json'}: is not what the tables' artifacts hold"


def check_artifact(artifact: Artifact) -> list[str]:
    """Run all checks of one artifact, in any process."""
    mistakes = list(check_record(artifact))
    if not artifact.done.exists() or not all(source.done.exists() for source in artifact.inputs.values()):
        return mistakes
    checks = {
        "rl": check_rollouts,
        "evaluation": check_generations,
        "measures": check_pass_rates,
        "composition_measures": check_pass_rates_by_parts,
    }
    for check in (REMADE.get(artifact.stage) and check_remade, checks.get(artifact.stage)):
        if check:
            try:
                mistakes += check(artifact)
            except (KeyError, ValueError, OSError, IndexError) as error:
                mistakes.append(f"{artifact.folder}: cannot be read: {type(error).__name__}: {error}")
    return mistakes


def _silence() -> None:
    """Send what notebook kernels say on the way to nowhere; mismatches are returned, not printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def verify(plan: Plan, cores: int) -> list[str]:
    """Verify everything that the params ask for, and the files of what else there is.

    Parameters
    ----------
    plan : Plan
    cores : int
        Processes that check artifacts at once.

    Returns
    -------
    list of str
        A line a mismatch, ``file: reason``; empty if all is well.
    """
    artifacts = [artifact for stage in plan.artifacts.values() for artifact in stage.values()]
    with ProcessPoolExecutor(cores, initializer=_silence) as pool:
        mistakes = [line for found in pool.map(check_artifact, reversed(artifacts)) for line in found]
    mistakes += check_others(plan)
    if all(artifact.done.exists() for artifact in artifacts):
        mistakes += check_leaks(plan)
        mistakes += check_published(plan)
    return mistakes


def require_verified(plan: Plan, cores: int, log: Path) -> None:
    """Verify, and leave the mismatches in a log.

    Raises
    ------
    WorkflowError
        With every mismatch, a line each.
    """
    mistakes = verify(plan, cores)
    log.write_text("".join(f"{line}\n" for line in mistakes))
    if mistakes:
        raise WorkflowError("\n".join(mistakes))
