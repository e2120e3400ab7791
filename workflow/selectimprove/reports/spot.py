"""Spot checks: artifacts that a model made, drawn at random and made again from their inputs.

Without a model, what a model said is taken on trust: whoever forges generations, their hash and all that follows from them leaves nothing to
find. But one seed gives one result, bit for bit, on every processor that torch and MKL are pinned for (`selectimprove.artifacts.arithmetic`).
So a stage is run as its rule runs it, into a temporary folder, and every file is compared. An artifact is judged by its inputs as they lie
there: of a forged chain, it is the first forged artifact that comes out otherwise.
"""

import importlib.util
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.arithmetic import MKL_CBWR, processor_info, vector_instructions
from selectimprove.artifacts.provenance import RECORD, folder_hashes, read_record, versions
from selectimprove.config.params import Resources
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.command import AT_START, resources_of, stage_command
from selectimprove.dag.costs import Estimate, describe, read_costs
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.checks import first_difference, has_record
from selectimprove.types import LARGEST_SEED

TRAINING_EXTRA = ("torch", "transformers", "trl")
RECORDS = ("config.json", RECORD)
"""Files of an artifact that `selectimprove.reports.checks` compares with the plan."""


def candidates(plan: Plan, checked: Iterable[Artifact]) -> list[Artifact]:
    """List what may be drawn: of what is checked, the artifacts of the stages of ``verify.stages``."""
    return [artifact for artifact in checked if artifact.stage in plan.params.verify.stages]


def draw(artifacts: Iterable[Artifact], number: int, seed: int) -> list[Artifact]:
    """Draw so many artifacts, or all if there are no more; one seed draws the same, however they are ordered."""
    known = sorted(artifacts, key=lambda artifact: (artifact.stage, artifact.name))
    return random.Random(seed).sample(known, min(number, len(known)))


def why_not(artifact: Artifact, resources: Resources) -> str | None:
    """Say why an artifact would come out otherwise here, though nothing is wrong with it; None if it would not."""
    if resources_of(artifact, resources).gpus:
        return "params.yaml gives its job a GPU, whose sums are not the same on every one"
    made = read_record(artifact.done).get("machine") or {}
    here = {
        "system": f"{platform.system()} {platform.machine()}",
        "vector_instructions": vector_instructions(),
        "mkl_cbwr": MKL_CBWR[getattr(artifact.config, "arithmetic", "portable")],
    }
    if here["mkl_cbwr"] != MKL_CBWR["portable"]:
        here["processor"] = processor_info("model name")
    for name, value in here.items():
        if made.get(name) != value:
            return f"it was made with {name.replace('_', ' ')} {made.get(name)}, and here it is {value}"
    return None


def make_again(artifact: Artifact, output: Path, resources: Resources) -> None:
    """Run the stage of an artifact as its rule does, on its inputs as they lie there.

    Raises
    ------
    ParamsError
        If the stage fails.
    """
    environment = os.environ | AT_START | {"PYTHONPATH": str(Path(__file__).parents[2]), "CUDA_VISIBLE_DEVICES": ""}
    # As Snakemake says how many cores a job has.
    environment["OMP_NUM_THREADS"] = str(resources_of(artifact, resources).cores)
    command = stage_command(artifact, output, resources, sys.executable)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ParamsError(f"{artifact.folder}: cannot be made again from its inputs: {said[-1]}")


def last_checkpoint_only(artifact: Artifact) -> Artifact:
    """Return an evaluation of the last checkpoint alone. It answers as it does among others, since each answer is seeded by its step."""
    return replace(artifact, config=artifact.config.model_copy(update={"checkpoints": "last"}))


def compare(artifact: Artifact, again: Path, checkpoints: str = "all") -> Iterator[str]:
    """Compare an artifact, bit for bit, with what was made again.

    Parameters
    ----------
    artifact : Artifact
    again : Path
        The folder that its stage made from its inputs.
    checkpoints : {'all', 'last'}
        Whose generations were made again, where it is an evaluation.
    """
    expected, found = folder_hashes(again), folder_hashes(artifact.folder)
    for name in sorted((expected.keys() | found.keys()) - set(RECORDS)):
        path = artifact.folder / name
        if name not in found:
            yield f"{path}: is missing, but its inputs give it"
        elif name not in expected:
            yield f"{path}: is there, but its inputs do not give it"
        elif found[name] != expected[name]:
            difference = _difference(path, again / name, checkpoints == "last" and name == "generations.parquet")
            if difference:
                yield f"{path}: is not what its inputs give when it is made again: {difference}"


def _difference(path: Path, again: Path, only_last: bool) -> str | None:
    """Say how a file differs from what was made again; a table whose values are all the same does not, however it is written."""
    if path.suffix != ".parquet":
        return "other content"
    try:
        found, expected = pd.read_parquet(path), pd.read_parquet(again)
        if only_last:
            found = found[found["rl_step"] == expected["rl_step"].max()].reset_index(drop=True)
        return first_difference(found, expected, exact=True)
    except (KeyError, ValueError, OSError) as error:
        return f"it cannot be read: {type(error).__name__}: {error}"


def _made_otherwise(artifact: Artifact) -> str:
    """Say in what the packages and the processor that made an artifact are not those here; nothing if they are."""
    record, installed = read_record(artifact.done), versions()
    made = (record.get("versions") or {}) | {"the processor": (record.get("machine") or {}).get("processor")}
    here = {name: installed.get(name) for name in TRAINING_EXTRA} | {"the processor": processor_info("model name")}
    other = [f"{name} {made.get(name)}, here {here[name]}" for name in here if made.get(name) != here[name]]
    return f" (it was made with {'; '.join(other)})" if other else ""


def check_again(artifact: Artifact, resources: Resources, checkpoints: str = "all") -> list[str]:
    """Make an artifact again and compare it; one line per mismatch, or one that says why it cannot be checked."""
    if not has_record(artifact) or not all(has_record(source) for source in artifact.inputs.values()):
        return [f"{artifact.folder}: cannot be made again: it or what it is made from is missing or has no record"]
    reason = why_not(artifact, resources)
    if reason:
        return [f"{artifact.folder}: cannot be checked here by making it again: {reason}"]
    with tempfile.TemporaryDirectory(prefix="selectimprove-") as folder:
        again = Path(folder) / artifact.name
        try:
            partly = artifact.stage == "evaluation" and checkpoints == "last"
            make_again(last_checkpoint_only(artifact) if partly else artifact, again, resources)
        except ParamsError as error:
            return [str(error)]
        mistakes = list(compare(artifact, again, checkpoints))
    return [f"{line}{_made_otherwise(artifact)}" for line in mistakes]


def check_all_again(
    artifacts: Iterable[Artifact],
    resources: Resources,
    cores: int,
    checkpoints: str = "all",
    say: Callable[[str], None] = print,
) -> list[str]:
    """Make artifacts again, several at once, and compare them.

    Parameters
    ----------
    artifacts : iterable of Artifact
        Of stages that train or ask a model.
    resources : Resources
        Of the params.
    cores : int
        Stages that run at once.
    checkpoints : {'all', 'last'}
        Whose generations of an evaluation are made again.
    say : callable
        Is told in a line how each went.

    Returns
    -------
    list of str
        One line per mismatch; empty if all came out the same. One line if what trains models is not installed.
    """
    if missing := [name for name in TRAINING_EXTRA if importlib.util.find_spec(name) is None]:
        return [f"verify.spot: nothing was made again, for want of {', '.join(missing)}; run `pip install '.[train]'`"]
    known, mistakes = list(artifacts), []
    with ThreadPoolExecutor(cores) as pool:
        checks = pool.map(lambda artifact: check_again(artifact, resources, checkpoints), known)
        for artifact, found in zip(known, checks, strict=True):
            say(f"  {'not confirmed' if found else 'the same, made again'}: {artifact.folder}")
            mistakes += found
    return mistakes


def spot_check(plan: Plan, checked: Iterable[Artifact], cores: int, say: Callable[[str], None] = print) -> list[str]:
    """Draw artifacts as ``verify`` in the params says, say which, make them again and compare them.

    Parameters
    ----------
    plan : Plan
    checked : iterable of Artifact
        What is verified otherwise.
    cores : int
    say : callable
        Is told the draw, and how each artifact went, line by line.

    Returns
    -------
    list of str
        One line per mismatch.
    """
    options, known = plan.params.verify, candidates(plan, checked)
    if not known:
        return [
            f"verify.spot: nothing to draw from: {', '.join(options.only)} has no artifact of {', '.join(options.stages)}"
        ]
    seed = random.SystemRandom().randint(0, LARGEST_SEED) if options.spot_seed is None else options.spot_seed
    drawn = draw(known, len(known) if options.spot == "all" else options.spot, seed)
    estimate = Estimate(plan.params.scale, read_costs())
    seconds = [estimate.seconds(artifact) for artifact in drawn]
    time = "" if None in seconds else f", about {describe(sum(seconds) / min(cores, len(seconds)))}"
    say(
        f"Spot check: {len(drawn)} of {len(known)} artifacts ({', '.join(options.stages)}), spot_seed {seed}, "
        f"{options.checkpoints} checkpoints{time}"
    )
    for artifact in drawn:
        say(f"  drawn: {artifact.folder}")
    return check_all_again(drawn, plan.params.resources, cores, options.checkpoints, say)
