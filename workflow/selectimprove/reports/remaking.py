"""Checks of one artifact: its record, its files, and whether its inputs still give it.

An artifact is made again in a temporary folder from its existing inputs, then compared; so in a forged chain, the first
forged artifact differs. Stages without a model run in this process; their numbers may differ from the tenth digit on,
since processors add in different orders. Stages that train or ask a model run as by Snakemake, and have to give the
same bits (`selectimprove.artifacts.arithmetic`). They take long, so ``verify.spot`` says how many are drawn.
"""

import importlib.util
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from selectimprove.artifacts.arithmetic import MKL_CBWR, processor_info, vector_instructions
from selectimprove.artifacts.provenance import RECORD, folder_hashes, read_if_whole, read_record, versions
from selectimprove.config.sections import Resources
from selectimprove.dag.artifact import AT_START, Artifact, snakemake_command, stage_command
from selectimprove.dag.costs import describe, expected_seconds
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError
from selectimprove.types import LARGEST_SEED

SAFE = {".parquet", ".json", ".safetensors", ".csv", ".md", ".rst", ".ipynb", ".png", ".pdf", ".svg", ".jinja"}
"""Suffixes of files that are read without unpickling."""
UNEVEN = {".png", ".pdf", ".ipynb"}
"""Suffixes of files that may differ when they are drawn from the same data."""
BROKEN = (KeyError, ValueError, OSError, IndexError)
"""Errors of reading a malformed artifact."""


class Checked(NamedTuple):
    """An artifact's mistakes, one line each, and whether it was made again with the same result."""

    mistakes: list[str]
    confirmed: bool


def asks_model(artifact: Artifact) -> bool:
    """Tell whether an artifact's stage trains, asks or fetches a model."""
    return STAGES[artifact.stage].environment != "light"


def has_record(artifact: Artifact) -> bool:
    """Tell whether an artifact is there, with a config and a record that can be read."""
    record, config = read_if_whole(artifact.done), read_if_whole(artifact.folder / "config.json")
    return bool(config) and {"inputs", "files", "source"} <= record.keys()


def check_record(artifact: Artifact, scale: str | None = None) -> Iterator[str]:
    """Compare an artifact's config, inputs, source and files with the plan and with its record."""
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


def _difference(path: Path, again: Path, exact: bool, last_only: bool) -> str | None:
    """Describe the first difference between two files; None if tables agree in nine digits or, if `exact`, all bits."""
    if path.suffix in UNEVEN and not exact:
        return None
    if path.suffix not in (".parquet", ".csv"):
        return "other content"
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    try:
        found, expected = read(path), read(again)
        if last_only:
            found = found[found["rl_step"] == expected["rl_step"].max()].reset_index(drop=True)
        if len(found) != len(expected):
            return f"{len(found)} rows, not {len(expected)}"
        if list(found.columns) != list(expected.columns):
            return f"columns {list(found.columns)}, not {list(expected.columns)}"
        for column in expected:
            ours, theirs = found[column], expected[column]
            try:
                pd.testing.assert_series_equal(ours, theirs, rtol=1e-9, check_dtype=exact, check_exact=exact)
            except AssertionError:
                pairs = zip(ours, theirs, strict=True)
                row = next((row for row, (a, b) in enumerate(pairs) if str(a) != str(b)), 0)
                return f"row {row}, column {column}: {ours[row]!r}, not {theirs[row]!r}"
    except BROKEN as error:
        return f"it cannot be read: {type(error).__name__}: {error}"
    return None


def compare(artifact: Artifact, again: Path, checkpoints: str = "all") -> Iterator[str]:
    """Compare an artifact with a copy that was made again; `checkpoints` of an evaluation are ``all`` or ``last``."""
    expected, found = folder_hashes(again), folder_hashes(artifact.folder)
    for name in sorted((expected.keys() | found.keys()) - {"config.json"}):
        path, last_only = artifact.folder / name, checkpoints == "last" and name == "generations.parquet"
        if name not in found:
            yield f"{path}: is missing, but its inputs give it"
        elif name not in expected:
            yield f"{path}: is there, but its inputs do not give it"
        elif expected[name] == found[name]:
            continue
        elif difference := _difference(path, again / name, asks_model(artifact), last_only):
            yield f"{path}: differs from what its inputs give: {difference}"


def why_not(artifact: Artifact, resources: Resources) -> str | None:
    """Say why a model's genuine artifact would come out differently here; None if it would be the same."""
    if STAGES[artifact.stage].resources(resources).gpus:
        return "params.yaml gives its job a GPU, and GPUs differ in how they add up"
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
    """Make an artifact again from its existing inputs: in this process or, if it needs a model, in its own."""
    if not asks_model(artifact):
        output.mkdir()
        inputs = {role: source.folder for role, source in artifact.inputs.items()}
        STAGES[artifact.stage].function(artifact.config, inputs, output)
        return
    # Snakemake sets OMP_NUM_THREADS to a job's number of cores.
    cores = str(STAGES[artifact.stage].resources(resources).cores)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": cores}
    environment = os.environ | AT_START | own
    command = stage_command(artifact, output, resources, sys.executable)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise ParamsError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])


def last_checkpoint_only(artifact: Artifact) -> Artifact:
    """Return the evaluation of only the last checkpoint; its answers are the same, as seeds depend on the step."""
    return replace(artifact, config=artifact.config.model_copy(update={"checkpoints": "last"}))


def _made_otherwise(artifact: Artifact) -> str:
    """Name the packages and the processor of an artifact's record that differ from those here."""
    record = read_record(artifact.done)
    made = (record.get("versions") or {}) | {"the processor": (record.get("machine") or {}).get("processor")}
    here = versions() | {"the processor": processor_info("model name")}
    other = [f"{name} {made.get(name)}, here {here[name]}" for name in here if made.get(name) != here[name]]
    return f" (it was made with {'; '.join(other)})" if other else ""


def check_remade(artifact: Artifact, resources: Resources, checkpoints: str = "all") -> list[str]:
    """Make an artifact again and compare: one line per difference, or one that says why this is not possible."""
    if asks_model(artifact) and (reason := why_not(artifact, resources)):
        return [f"{artifact.folder}: cannot be checked here by making it again: {reason}"]
    last_only = artifact.stage == "evaluation" and checkpoints == "last"
    with tempfile.TemporaryDirectory(prefix="selectimprove-") as folder:
        again = Path(folder) / artifact.name
        try:
            make_again(last_checkpoint_only(artifact) if last_only else artifact, again, resources)
        except Exception as error:
            return [f"{artifact.folder}: cannot be made again from its inputs: {type(error).__name__}: {error}"]
        mistakes = list(compare(artifact, again, checkpoints))
    return [f"{line}{_made_otherwise(artifact)}" for line in mistakes]


def check_artifact(scale: str, resources: Resources, checkpoints: str, artifact: Artifact, drawn: bool) -> Checked:
    """Check the record and the files of an artifact; make it again if it needs no model, or was drawn."""
    mistakes = list(check_record(artifact, scale))
    remade = drawn or not asks_model(artifact)
    # Missing artifacts and records are reported as mistakes already.
    if not remade or not all(map(has_record, (artifact, *artifact.inputs.values()))):
        return Checked(mistakes, confirmed=False)
    found = check_remade(artifact, resources, checkpoints)
    return Checked(mistakes + found, confirmed=not found)


def candidates(plan: Plan, checked: Iterable[Artifact]) -> list[Artifact]:
    """List the artifacts that may be drawn, those of ``verify.stages``."""
    return [artifact for artifact in checked if artifact.stage in plan.params.verify.stages]


def draw(artifacts: Iterable[Artifact], number: int, seed: int) -> list[Artifact]:
    """Draw a number of artifacts, at most all; the draw does not depend on their order."""
    known = sorted(artifacts, key=lambda artifact: (artifact.stage, artifact.name))
    return random.Random(seed).sample(known, min(number, len(known)))


def draw_spot(plan: Plan, checked: Iterable[Artifact], cores: int) -> list[Artifact]:
    """Draw artifacts of models to make again, as ``verify`` of the params says, and print them."""
    options, known = plan.params.verify, candidates(plan, checked)
    if not options.spot:
        return []
    stages = ", ".join(options.stages)
    if missing := [name for name in ("torch", "transformers", "trl") if importlib.util.find_spec(name) is None]:
        raise ParamsError(f"verify.spot: not installed: {', '.join(missing)}; run `pip install '.[train]'`")
    if not known:
        raise ParamsError(f"verify.spot: nothing to draw from: {', '.join(options.only)} has no artifact of {stages}")
    seed = random.SystemRandom().randint(0, LARGEST_SEED) if options.spot_seed is None else options.spot_seed
    drawn = draw(known, len(known) if options.spot == "all" else options.spot, seed)
    seconds = expected_seconds(plan.params.scale, drawn)
    is_known = len(seconds) == len(drawn)
    time = f", about {describe(sum(seconds.values()) / min(cores, len(drawn)))}" if is_known else ""
    of = f"{len(drawn)} of {len(known)} artifacts ({stages})"
    print(f"Spot check: {of}, spot_seed {seed}, {options.checkpoints} checkpoints{time}")
    print(*(f"  drawn: {artifact.folder}" for artifact in drawn), sep="\n", flush=True)
    return drawn
