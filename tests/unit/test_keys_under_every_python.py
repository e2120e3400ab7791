"""A key is the same under every Python that the package supports."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, laptop_plan

# Nothing but the standard library: the other Pythons have no more.
COMPUTE = """
import json, sys
from selectimprove.artifacts.keys import artifact_digest
given = json.load(sys.stdin)
print(json.dumps([artifact_digest(a["config"], frozenset(a["modules"]), a["inputs"]) for a in given]))
"""


def find_python(version: str) -> str | None:
    """Find an interpreter of a version on the path, or among those that pyenv has."""
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python"))
    candidates = [shutil.which(f"python{version}"), *map(str, pyenv)]
    for candidate in filter(None, candidates):
        shown = subprocess.run([candidate, "--version"], capture_output=True, text=True)
        if shown.returncode == 0 and shown.stdout.startswith(f"Python {version}."):
            return candidate
    return None


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_all_keys_are_the_same(version):
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    plan = laptop_plan()
    artifacts = [artifact for stage in plan.artifacts.values() for artifact in stage.values()]
    given = [
        {
            "config": artifact.config.model_dump(mode="json"),
            "modules": sorted(artifact.modules),
            "inputs": {role: source.name for role, source in artifact.inputs.items()},
        }
        for artifact in artifacts
    ]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [python, "-c", COMPUTE], input=json.dumps(given), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [artifact.digest for artifact in artifacts]
