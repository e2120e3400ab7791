"""Write the lock files: for each role, everything that pip would install, at the versions it would choose.

Local versions such as ``+cpu`` are dropped: which build of torch is taken is up to the machine.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROLES = {"light": "", "train": "[train]", "dev": "[train,dev]"}


def resolve(extras: str) -> dict[str, str]:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    report = subprocess.run([*command, f"{HERE.parent}{extras}"], check=True, capture_output=True, text=True).stdout
    packages = (item["metadata"] for item in json.loads(report)["install"])
    return {package["name"].lower(): package["version"].partition("+")[0] for package in packages}


for role, extras in ROLES.items():
    pins = "".join(
        f"{name}=={version}\n" for name, version in sorted(resolve(extras).items()) if name != "selectimprove"
    )
    (HERE / f"{role}.txt").write_text(f"# Made by `make lock` from pyproject.toml{extras}.\n{pins}")
