"""How long a cold run takes on more cores, by the times on record: what bounds it is its longest chain of jobs."""

import heapq

from selectimprove.dag.artifact import Artifact, collect_ancestors
from selectimprove.dag.costs import Estimate, read_costs
from selectimprove.dag.plan import Plan


def schedule(artifacts: dict[Artifact, float], cores: int) -> tuple[float, float]:
    """Schedule jobs of one core as they become ready, the plan's first experiments first.

    Parameters
    ----------
    artifacts : dict of Artifact to float
        Seconds of each, in the order in which they are preferred.
    cores : int

    Returns
    -------
    end, idle : float
        Seconds until all are made, and the share of the cores' time in which they have nothing to do.
    """
    place = {artifact: number for number, artifact in enumerate(artifacts)}
    waiting = {
        artifact: {source for source in artifact.inputs.values() if source in artifacts} for artifact in artifacts
    }
    ready = sorted(place[artifact] for artifact, sources in waiting.items() if not sources)
    running: list[tuple[float, int]] = []
    order, now = list(artifacts), 0.0
    while ready or running:
        while ready and len(running) < cores:
            number = heapq.heappop(ready)
            heapq.heappush(running, (now + artifacts[order[number]], number))
        now, finished = heapq.heappop(running)
        for artifact, sources in waiting.items():
            if order[finished] in sources:
                sources.remove(order[finished])
                if not sources:
                    heapq.heappush(ready, place[artifact])
    return now, 1 - sum(artifacts.values()) / (now * cores)


def measure_schedules(plan: Plan) -> list[dict]:
    """Foretell a cold run on 1, 2, 4 and 8 cores from recorded times, and when Table 1 is there; against its longest chain."""
    estimate = Estimate(plan.params.scale, read_costs())
    rows = []
    for what, ends in (("all figures", plan.exhibits.values()), ("the main experiment", [plan.measures["main"]])):
        wanted = sorted(collect_ancestors(ends), key=lambda artifact: plan.ranks[artifact])
        times = {artifact: estimate.seconds(artifact) or 0.0 for artifact in wanted}
        chain, _ = schedule(times, len(times))
        for cores in (1, 2, 4, 8):
            end, idle = schedule(times, cores)
            row = {"what": f"{what} on {cores} cores, {idle:.0%} idle", "against": "the longest chain"}
            rows.append(row | {"ratio": end / chain, "seconds": end, "seconds_against": chain})
    return rows
