"""Timing in pairs, by a clock that the test turns."""

import sys

import pytest

from selectimprove.reports.benchmarks import pairs


def test_a_ratio_is_the_median_of_pairs_and_per_unit_of_what_is_done(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def taking(*seconds: float):
        left = iter(seconds)
        return lambda: now.__setitem__(0, now[0] + next(left))

    # The machine is twice as slow during the second pair, on both sides of it alike.
    row = pairs.compare("ten", taking(20, 40, 30), "one, ten times", taking(1, 2, 1), scale=10)
    assert (row["ratio"], row["least"], row["most"]) == (2, 2, 3)
    assert (row["seconds"], row["seconds_against"]) == (30, 1)


def test_what_is_timed_prints_nothing_and_may_fail(capsys):
    assert pairs.seconds(lambda: print("loading")) > 0
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError):
        pairs.seconds(lambda: 1 / 0)


def test_a_command_that_fails_is_named_with_what_it_said():
    command = (sys.executable, "-c", "import sys; sys.exit('no such option')")
    with pytest.raises(SystemExit, match=r"-c .*\nno such option"):
        pairs.run(*command)()
