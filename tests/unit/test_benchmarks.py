"""The comparisons of `make bench`, with times that the test sets."""

import subprocess
import sys

import pytest

import measure
from conftest import ROOT


def test_a_ratio_is_the_median_of_pairs_timed_in_turn_and_per_unit_of_what_is_done(monkeypatch):
    # The machine is twice as slow during the second pair, for both calls.
    times, called = {"ours": iter([20, 40, 30]), "least": iter([1, 2, 1])}, []

    def time_call(call: str) -> float:
        called.append(call)
        return next(times[call])

    monkeypatch.setattr(measure, "time_call", time_call)
    row = measure.compare("ten", "ours", "one, ten times", "least", times=10)
    assert (row["ratio"], row["least"], row["most"], row["seconds"]) == (2, 2, 3, 30)
    assert called == 3 * ["ours", "least"]


def test_a_call_is_timed_once_and_may_fail():
    calls = []
    assert measure.time_call(lambda: calls.append(1)) > 0
    assert calls == [1]
    with pytest.raises(ZeroDivisionError):
        measure.time_call(lambda: 1 / 0)


def test_a_command_that_fails_is_named_with_what_it_said(capfd):
    code = "import sys; print('much'); sys.exit('no such option')"
    with pytest.raises(subprocess.CalledProcessError, match=r"returned non-zero"):
        measure.command(sys.executable, "-c", code)()
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "no such option\n")


def test_the_package_does_not_depend_on_the_benchmarks():
    sources = (ROOT / "workflow/selectimprove").rglob("*.py")
    assert not [path for path in sources if "benchmarks" in path.read_text(encoding="utf-8")]
