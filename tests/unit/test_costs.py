"""Foretelling how long a run takes, on graphs small enough to schedule by hand."""

import json
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.config.stages import LabelsStage
from selectimprove.dag import costs
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.costs import describe, expected_seconds, recorded, time_left

SHARES = {"sft_train": 0.4, "sft_validation": 0.1, "rl": 0.25, "test": 0.25}
CONFIG = LabelsStage(
    task_name="chains", task={"field_order": 11, "relabel_seed": 0, "ring_size": 20, "split_shares": SHARES}
)


def artifact(slug: str, *inputs: Artifact, stage: str = "labels") -> Artifact:
    return Artifact(stage, slug, CONFIG, {source.slug: source for source in inputs})


def one_core(_: Artifact) -> dict[str, float]:
    return {"cores": 1}


def shortest_schedule(pending: dict[Artifact, float], cores: int) -> float:
    """Try every order of list scheduling."""
    best = float("inf")
    for order in permutations(pending):
        ends, free = {}, [0.0] * cores
        for job in order:
            if any(source in pending and source not in ends for source in job.inputs.values()):
                break
            ready = max((ends[source] for source in job.inputs.values() if source in pending), default=0.0)
            free.sort()
            ends[job] = free[0] = max(free[0], ready) + pending[job]
        else:
            best = min(best, max(ends.values(), default=0.0))
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.sets(st.integers(0, 4))), min_size=1, max_size=5), st.integers(1, 3))
def test_the_bound_is_never_above_the_shortest_schedule_and_within_a_factor_of_two(jobs, cores):
    made: list[Artifact] = []
    for number, (_, sources) in enumerate(jobs):
        made.append(artifact(f"job{number}", *(made[i] for i in sources if i < number)))
    pending = {job: float(seconds) for job, (seconds, _) in zip(made, jobs, strict=True)}
    bound, shortest = time_left(pending, one_core, {"cores": cores}), shortest_schedule(pending, cores)
    assert bound <= shortest + 1e-9
    assert shortest <= 2 * bound + 1e-9


def test_what_is_scarcest_decides():
    jobs = [artifact(f"job{number}") for number in range(4)]
    pending = dict.fromkeys(jobs, 60.0)

    def needs(job: Artifact) -> dict[str, float]:
        return {"cores": 1, "gpu": 1 if job in jobs[:3] else 0, "mem_mb": 2048}

    assert time_left(pending, needs, {"cores": 16}) == 60
    assert time_left(pending, needs, {"cores": 2}) == 120
    assert time_left(pending, needs, {"cores": 16, "gpu": 1}) == 180
    assert time_left(pending, needs, {"cores": 16, "gpu": 3, "mem_mb": 2048}) == 240


def test_the_most_alike_record_counts(monkeypatch):
    new = artifact("B-gf11-s1")
    rows = [("labels", new.name, 5), ("labels", "B-gf11-s1-0000000000", 7), ("labels", "FB-gf11-s1-0000000000", 30)]
    records = [{"stage": stage, "name": name, "seconds": str(seconds)} for stage, name, seconds in rows]
    other = artifact("B-gf11-s1", stage="measures")
    for known, expected in ((records, 5), (records[1:], 7), (records[2:], 30)):
        monkeypatch.setattr(costs, "read_costs", lambda path, known=known: known)
        assert expected_seconds("laptop", [new, other]) == {new: expected}


def test_what_was_resumed_has_no_cost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole, resumed = artifact("whole"), artifact("resumed")
    for made in (whole, resumed):
        made.folder.mkdir(parents=True)
        made.done.write_text(json.dumps({"inputs": {}, "files": {}, "seconds": 5.0, "resumed": made is resumed}))
    assert recorded(whole)["seconds"] == 5.0
    assert recorded(resumed) is None


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (89.4, "89 s"), (600, "10 min"), (12600, "3.5 h")])
def test_durations_read_well(seconds, text):
    assert describe(seconds) == text
