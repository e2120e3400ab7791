"""Arguments that commands share: the plan of a checkout, its models and artifacts, and whole numbers."""

import difflib
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from selectimprove.artifacts.provenance import require_intact
from selectimprove.config.loading import load_params
from selectimprove.config.messages import unknown_name
from selectimprove.config.stages import Run
from selectimprove.dag.artifact import RESULTS, Artifact, snakemake_command
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError, one_line


def natural(text: str, least: int = 0) -> int:
    """Read a whole number that is at least `least`."""
    # int() would also accept spaces, underscores and digits of other scripts.
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


positive = partial(natural, least=1)


def open_plan(scale: str | None, config: Sequence[str] = ()) -> Plan:
    """Plan the checkout in this folder, at another scale or with other params (``key=value``) if given."""
    source = Path("workflow").resolve()
    if not (Path("params.yaml").is_file() and (source / "selectimprove").is_dir()):
        raise ParamsError("params.yaml: no such file here; run this at the root of a checkout")
    # Keys cover the checkout's source, so its copy of the package has to run.
    if source not in Path(__file__).resolve().parents:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(source), *filter(None, [os.environ.get("PYTHONPATH")])])
        os.execv(sys.executable, [sys.executable, "-m", "selectimprove", *sys.argv[1:]])
    changed = {"scale": scale} if scale else {}
    if config:
        from snakemake.cli import parse_config

        try:
            changed |= parse_config(config)
        except ValueError as error:
            raise ParamsError(f"--config: {one_line(str(error))}; use key=value, as for snakemake") from None
    return Plan(load_params(Path("params.yaml"), changed))


def require_known(key: str, name: str, known: Iterable) -> None:
    """Refuse an unknown name; the error suggests the nearest known name or lists all."""
    for line in unknown_name(key, name, list(map(str, known))):
        raise ParamsError(line)


def find_runs(
    plan: Plan, name: str, sft: str, training: str, variant: str, seed: str | None
) -> tuple[Artifact, list[Run]]:
    """Find the measures of an experiment (or of a figure's or table's), and the runs of one model, one per seed."""
    exhibits = plan.params.figures | plan.params.tables
    require_known("name", name, dict.fromkeys([*exhibits, *plan.params.experiments]))
    measures = plan.measures[exhibits[name].experiment if name in exhibits else name]
    runs = measures.config.runs
    for key, wanted in {"variant": variant, "sft": sft, "training": training, "seed": seed}.items():
        if wanted is not None:
            require_known(key, wanted, dict.fromkeys(getattr(run, key) for run in runs))
            runs = [run for run in runs if str(getattr(run, key)) == wanted]
    return measures, runs


def find_artifact(plan: Plan, text: str, stages: Iterable[str]) -> Artifact:
    """Find an artifact of some stages by ``results/sft/FB-gf11-s110-0123456789``, or by ``FB-gf11-s110`` if unique."""
    *stage, name = os.path.relpath(text or ".").removeprefix(f"{RESULTS}/").rsplit("/", 1)
    planned = [artifact for key in stages if stage in ([], [key]) for artifact in plan.artifacts[key].values()]
    found, of_scale = [artifact for artifact in planned if artifact.name == name], f"-{plan.params.suffix}"
    if not found:
        # Generations and labels have the slug of their model, which is preferred.
        models = [artifact for artifact in planned if artifact.stage not in ("evaluation", "labels")]
        found = [artifact for artifact in models if name in (artifact.slug, artifact.slug.removesuffix(of_scale))]
    if len(found) > 1:
        names = ", ".join(f"{artifact.stage}/{artifact.name}" for artifact in found)
        raise ParamsError(f"{text}: names {len(found)} artifacts; use one of {names}")
    if found:
        return found[0]
    if any((RESULTS / key / name).is_dir() for key in STAGES):
        raise ParamsError(f"{text}: not in the current plan; made with other params or code than today's")
    known = {known for artifact in planned for known in (artifact.name, artifact.slug)}
    close = difflib.get_close_matches(name, sorted(known), n=1)
    raise ParamsError(f"{text}: not in the current plan" + (f"; did you mean '{close[0]}'?" if close else ""))


def require_made(artifact: Artifact, scale: str | None) -> None:
    """Refuse a missing artifact, with the command that makes it."""
    if not artifact.done.exists():
        command = snakemake_command(scale, artifact.done)
        remedy = f"`{command}` makes it, `dvc --cd results pull` fetches it if it was shared"
        raise ParamsError(f"{artifact.folder}: neither made nor pulled; {remedy}")


def require_readable(artifact: Artifact, scale: str | None) -> None:
    """Refuse a missing or damaged artifact, with the command that makes it."""
    require_made(artifact, scale)
    require_intact([artifact.folder], f"run `{snakemake_command(scale, artifact.done)}`")
