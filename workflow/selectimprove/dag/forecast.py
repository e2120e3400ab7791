"""The forecast of a run: what it would make and why, which figures and tables it would change, and its time."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from selectimprove.config.checks import require_met
from selectimprove.config.messages import unknown_name
from selectimprove.dag.artifact import collect_ancestors
from selectimprove.dag.changes import explain
from selectimprove.dag.command import needs_of
from selectimprove.dag.costs import Estimate, costs_file, describe, read_costs, time_left
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError

AUDIT = "audit"


def forecast(plan: Plan, cores: int, names: Sequence[str] = (), gpus: int = 1) -> str:
    """Describe what `snakemake figures` would do, or `snakemake` with other targets.

    It counts the artifacts to make per stage and reason, names the figures and tables that would change, and estimates
    the time.

    Parameters
    ----------
    plan : Plan
    cores, gpus : int
        Jobs that would run at once, of one core or of one GPU.
    names : sequence of str, optional
        Figures, tables, experiments, or ``audit``.

    Raises
    ------
    ParamsError
        If there is no such target, or the params lack something that it needs.
    """
    for name in names:
        if name not in (*plan.targets, AUDIT):
            raise ParamsError(unknown_name("params.yaml: figures, tables and experiments", name, plan.targets)[0])
    named = [name for name in names if name != AUDIT]
    chosen = dict.fromkeys(exhibit for name in named for exhibit in plan.targets[name])
    if AUDIT in names or not names:
        # The page of the audit shows all figures and tables that are drawn by default.
        chosen |= plan.exhibits
    for name in chosen:
        require_met(plan.params, name)
    exhibits = {name: plan.all_exhibits[name] for name in chosen}
    ends = [*exhibits.values(), *plan.ends_of(named), *([plan.verdicts] if AUDIT in names else [])]
    wanted = collect_ancestors(ends)
    # The inputs of a finished artifact are not needed any more.
    pending = collect_ancestors(ends, lambda artifact: not artifact.done.exists())
    if not pending:
        return "Nothing to make: everything asked for is there for these params."
    lines = []
    for stage in plan.artifacts:
        artifacts = [artifact for artifact in pending if artifact.stage == stage]
        if artifacts:
            every = sum(artifact.stage == stage for artifact in wanted)
            lines.append(f"{stage}: {len(artifacts)} of {every} to make")
            reasons = Counter(explain(artifact).partition(", against ")[0] for artifact in artifacts)
            lines += [f"    {number} × {reason}" for reason, number in reasons.most_common(4)]
    changed = [name for name, artifact in exhibits.items() if not artifact.done.exists()]
    lines.append(f"figures and tables to draw: {', '.join(changed) or 'none'}")

    estimate = Estimate(read_costs(costs_file(plan.params.scale)))
    seconds = {artifact: estimate.seconds(artifact) for artifact in pending}
    known = {artifact: value for artifact, value in seconds.items() if value is not None}
    if known:
        needs = partial(needs_of, resources=plan.params.resources)
        left = describe(time_left(known, needs, {"cores": cores, "gpu": gpus}))
        have = f"{cores} core{'s' * (cores > 1)}"
        if any(needs(artifact)["gpu"] for artifact in known):
            have += f" and {gpus} GPU{'s' * (gpus > 1)}"
        lines.append(f"time: {describe(sum(known.values()))} of jobs, about {left} on {have}")
    if unknown := sorted({artifact.stage for artifact in pending if artifact not in known}):
        lines.append(f"time unknown, since none was recorded at this scale: {', '.join(unknown)}")
    return "\n".join(lines)
