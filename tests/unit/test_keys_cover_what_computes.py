"""Code that keys leave out computes nothing: however it is changed, no artifact differs and keeps its name."""

import json
import os
import subprocess
import sys

from conftest import ROOT


def test_no_change_of_what_keys_leave_out_changes_a_result_and_keeps_its_key():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/key_mutants.py")],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "SELECTIMPROVE_SERVER": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    *survivors, (what, n_changes) = map(json.loads, done.stdout.splitlines())
    assert what == "changes"
    assert n_changes > 50
    assert not survivors
