"""How a user names a model or an artifact on the command line, and what is said of one that is not there."""

import difflib
import os
from collections.abc import Iterable

from selectimprove.artifacts.provenance import require_intact
from selectimprove.config.messages import unknown_name
from selectimprove.config.stages import Run
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.dag.command import snakemake_command
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError


def require_known(key: str, name: str, known: Iterable) -> None:
    """Refuse an unknown name, with the one that was meant or all that there are."""
    for line in unknown_name(key, name, list(map(str, known))):
        raise ParamsError(line)


def find_runs(
    plan: Plan, name: str, sft: str, training: str, variant: str, seed: str | None
) -> tuple[Artifact, list[Run]]:
    """Find the measures of the experiment that `name` is or shows, and one model of it, once per seed or of the one that is named.

    Raises
    ------
    ParamsError
        If there is no such name.
    """
    exhibits = plan.params.figures | plan.params.tables
    require_known("name", name, dict.fromkeys([*exhibits, *plan.params.experiments]))
    measures = plan.measures[exhibits[name].experiment if name in exhibits else name]
    runs = measures.config.runs
    # As the command line has them, in words.
    for key, wanted in {"variant": variant, "sft": sft, "training": training, "seed": seed}.items():
        if wanted is not None:
            require_known(key, wanted, dict.fromkeys(getattr(run, key) for run in runs))
            runs = [run for run in runs if str(getattr(run, key)) == wanted]
    return measures, runs


def find_artifact(plan: Plan, text: str, stages: Iterable[str]) -> Artifact:
    """Find an artifact by its name or path, or by its name without the key where only one is called so.

    Parameters
    ----------
    plan : Plan
    text : str
        Such as ``results/sft/FB-gf11-s110-0123456789``, ``sft/FB-…``, ``FB-gf11-s110-0123456789`` or ``FB-gf11-s110``.
    stages : iterable of str
        Where it may be.

    Raises
    ------
    ParamsError
        If there is none, or more than one.
    """
    *stage, name = os.path.relpath(text or ".").removeprefix(f"{RESULTS}/").rsplit("/", 1)
    planned = [artifact for key in stages if stage in ([], [key]) for artifact in plan.artifacts[key].values()]
    # Generations and labels are called as their model is, but for the key.
    found = [artifact for artifact in planned if artifact.name == name] or [
        artifact for artifact in planned if artifact.slug == name and artifact.stage not in ("evaluation", "labels")
    ]
    if len(found) > 1:
        names = ", ".join(f"{artifact.stage}/{artifact.name}" for artifact in found)
        raise ParamsError(f"{text}: names {len(found)} artifacts; use one of {names}")
    if not found:
        known = {known for artifact in planned for known in (artifact.name, artifact.slug)}
        close = difflib.get_close_matches(name, sorted(known), n=1)
        old = any((RESULTS / key / name).is_dir() for key in STAGES)
        why = "made with other params or code than today's" if old else f"did you mean '{close[0]}'?" if close else ""
        raise ParamsError(f"{text}: not in the current plan" + (f"; {why}" if why else ""))
    return found[0]


def require_made(artifact: Artifact, scale: str | None) -> None:
    """Refuse an artifact that is not there, with the command that makes it."""
    if not artifact.done.exists():
        raise ParamsError(
            f"{artifact.folder}: neither made nor pulled; `{_command(artifact, scale)}` makes it, "
            "`dvc pull` fetches it where it was shared"
        )


def require_readable(artifact: Artifact, scale: str | None) -> None:
    """Refuse an artifact that is not there, or of which a file is not as it was made; with the command that makes it."""
    require_made(artifact, scale)
    require_intact([artifact.folder], f"run `{_command(artifact, scale)}`")


def _command(artifact: Artifact, scale: str | None) -> str:
    return snakemake_command(scale, artifact.done)
