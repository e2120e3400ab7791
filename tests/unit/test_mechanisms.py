"""The split of a change in pass@1, against models whose parts are known in advance, and its intervals, by simulation."""

import numpy as np
import pandas as pd
import pytest

from selectimprove.analysis.mechanisms import PARTS, Behaviour, find_openings, split_change
from selectimprove.analysis.stats import bootstrap_weights, change_interval

OPENINGS = {"forward": "forward", "backward": "backward"}


def behaviour(taken, told, greedy=(0, 0), n=4) -> Behaviour:
    """A model that does the same on each of n problems."""
    every = [np.tile(np.array(values, dtype=float), (n, 1)) for values in ([*taken, 0.0], told, greedy)]
    return Behaviour(every[0], np.zeros(n), every[1], every[2])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # Only the shares change: from half to all of a strategy that always passes, away from one that never does.
        (behaviour((0.5, 0.5), (1, 0)), behaviour((1, 0), (1, 0)), (0.5, 0, 0)),
        # Only the rate changes, on problems that greedy decoding had not solved, and on such that it had.
        (behaviour((1, 0), (0.2, 0)), behaviour((1, 0), (0.9, 0)), (0, 0, 0.7)),
        (behaviour((1, 0), (0.2, 0), (1, 0)), behaviour((1, 0), (0.9, 0)), (0, 0.7, 0)),
        # A strategy that was never taken, but that the model could follow when told: taking it up is selection alone.
        (behaviour((1, 0), (0.1, 0.8)), behaviour((0, 1), (0.1, 0.8)), (0.7, 0, 0)),
    ],
)
def test_each_part_is_seen_by_itself(before, after, expected):
    parts = split_change(np.ones((1, 4)), before, after)
    assert [float(parts[name][0]) for name in PARTS] == pytest.approx(expected)


def test_problems_that_greedy_decoding_solved_are_told_apart_one_by_one():
    before, after = behaviour((1, 0), (0.5, 0)), behaviour((1, 0), (1, 0))
    before.greedy[:1] = 1
    parts = split_change(np.ones((1, 4)), before, after)
    assert (parts["sharpening"][0], parts["capability"][0]) == pytest.approx((0.125, 0.375))


def test_a_strategy_that_was_taken_where_it_works_is_not_selected_by_being_taken_elsewhere():
    told = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    chosen, everywhere = np.eye(3)[[1, 1, 0, 0]], np.eye(3)[[1, 1, 1, 1]]
    before, after = (Behaviour(taken, np.zeros(4), told, np.zeros((4, 2))) for taken in (chosen, everywhere))
    assert [split_change(np.ones((1, 4)), before, after)[name][0] for name in PARTS] == [0, 0, 0]


def test_answers_without_a_strategy_count_as_they_were_seen():
    before = Behaviour(np.array([[0.5, 0, 0.5]]), np.array([0.5]), np.array([[0.0, 0.0]]), np.zeros((1, 2)))
    after = Behaviour(np.array([[1.0, 0, 0.0]]), np.array([0.0]), np.array([[0.0, 0.0]]), np.zeros((1, 2)))
    parts = split_change(np.ones((1, 1)), before, after)
    # They all passed, and the other side, which has none, is given their rate.
    assert sum(parts[name] for name in PARTS)[0] == pytest.approx(-0.5)
    assert parts["selection"][0] == pytest.approx(-0.5)


def test_behaviour_is_counted_from_rows():
    taken = ["forward", "backward", "a third", "forward"]
    generations = pd.DataFrame({"problem_id": [3, 3, 5, 5], "strategy": taken, "correct": [True, False, True, False]})
    rows = [
        (number, told, greedy, told == "forward" and number == 3)
        for number in (3, 5)
        for told in ("", *OPENINGS)
        for greedy in (True, False)
    ]
    interventions = pd.DataFrame(rows, columns=["problem_id", "told", "greedy", "correct"])
    found = Behaviour.of(generations, interventions, [*OPENINGS], pd.Index([3, 5]))
    assert found.taken.tolist() == [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]
    assert found.passed_other.tolist() == [0.0, 0.5]
    assert found.told.tolist() == found.greedy.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_openings_are_whole_words():
    completions = ["forward e1", " backward", "forwards e1", "forward: e1", "e1 forward", "", "then: e1", "then:e1"]
    found = find_openings(pd.Series(completions), OPENINGS | {"later": "then:"})
    assert found.tolist() == ["forward", "backward", "", "forward", "", "", "later", "later"]


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.0005])
def test_intervals_cover_the_truth_however_rare_a_strategy_was(share):
    """Over 200 draws, all four intervals hold the truth in 95 % of cases; 90 % is 3.2 standard errors below."""
    n, n_samples, rng = 256, 2, np.random.default_rng(0)
    # Of half of the problems greedy decoding is right; the second strategy's rate rises from .6 (there) and .1 to .9.
    solved = np.arange(n) % 2 == 0
    rate_before, rate_after = np.where(solved, 0.6, 0.1), np.full(n, 0.9)
    after_share = 0.9
    truth = {
        "selection": (after_share - share) * ((rate_before + rate_after).mean() / 2 - 0.1),
        "sharpening": (share + after_share) / 2 * 0.5 * 0.3,
        "capability": (share + after_share) / 2 * 0.5 * 0.8,
    }

    def draw(share: float, rate: np.ndarray) -> Behaviour:
        second = rng.binomial(n_samples, share, n) / n_samples
        told = np.stack([rng.binomial(n_samples, 0.1, n), rng.binomial(n_samples, rate)], axis=1) / n_samples
        greedy = np.stack([np.zeros(n), solved], axis=1)
        return Behaviour(np.stack([1 - second, second, np.zeros(n)], axis=1), np.zeros(n), told, greedy)

    covered = dict.fromkeys(PARTS, 0)
    weights = np.vstack([np.ones(n), bootstrap_weights(np.zeros(n), 300, 0)])
    for _ in range(200):
        parts = split_change(weights, draw(share, rate_before), draw(after_share, rate_after))
        for name in PARTS:
            low, high = change_interval(parts[name][1:], n, 0.95)
            covered[name] += low <= truth[name] <= high
    assert all(count >= 180 for count in covered.values()), covered
