"""Commands of tests that are forked from a server, which has already imported the packages that they need.

The suite calls Snakemake two hundred times, and Snakemake starts stages. Half of the time of each process would be imports of packages. A forked
command runs the code of the test's repository, in the test's folder and environment. The server is that of `selectimprove.artifacts.forking`. Tests
that are about the start, interruption or death of processes do not use it.
"""

import importlib
import json
import os
import sys
from pathlib import Path

from selectimprove.artifacts.forking import SERVER, forget, open_server
from selectimprove.dag.artifact import AT_START
from selectimprove.dag.table import STAGES

COMMANDS = {"snakemake": "snakemake.cli", "selectimprove": "selectimprove.__main__"}
"""Commands of a shell, and the modules whose ``main`` they run."""
LATER = ("smart_open", "pandas", "scipy.stats", "matplotlib.pyplot")
"""Modules that the commands import only when they run."""
OPENED = "TESTS_SERVER"
"""The variable that names the server to test processes and to commands, as `SERVER` does to stages."""
HERE = str(Path(__file__).parent)
# A stand-in starts without site-packages and imports little, because every command pays for it.
STAND_IN = """#!{python} -IS
import os, sys
sys.path.append({package!r})
sys.orig_argv = [{python!r}, "-m", "forked", {name!r}, *sys.argv[1:]]
os.environ["PYTHONPATH"] = {here!r} + os.pathsep + os.environ.get("PYTHONPATH", "")
from selectimprove.artifacts.forking import hand_over
hand_over()
sys.exit("the server has ended")
"""


def open_for_commands() -> None:
    """Open a server that ends with this process, unless forks are unsafe here, and put stand-ins for the commands beside its socket."""
    modules = ["forked", *(f"selectimprove.{stage.module}" for stage in STAGES.values())]
    open_server(modules, AT_START | {"PYTHONPATH": HERE + os.pathsep + os.environ.get("PYTHONPATH", "")})
    if os.environ.get(SERVER, "0") == "0":
        return
    os.environ[OPENED] = os.environ.pop(SERVER)
    package = str(Path(__file__).parents[1] / "workflow")
    for name in COMMANDS:
        stand_in = _folder_of_stand_ins() / name
        stand_in.write_text(STAND_IN.format(python=sys.executable, package=package, here=HERE, name=name))
        stand_in.chmod(0o755)


def _folder_of_stand_ins() -> Path:
    return Path(json.loads(os.environ[OPENED])[0]).parent


def with_server(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which a process finds the stand-ins and the server, if one is open."""
    if OPENED not in os.environ:
        return environment
    path = f"{_folder_of_stand_ins()}{os.pathsep}{environment['PATH']}"
    return environment | {"PATH": path, SERVER: os.environ[OPENED], OPENED: os.environ[OPENED]}


if __name__ == "__main__":
    command = sys.argv.pop(1)
    sys.argv[0] = str(Path(sys.executable).with_name(command))
    sys.path.remove(HERE)
    os.environ["PYTHONPATH"] = os.environ["PYTHONPATH"].partition(os.pathsep)[2]
    # The command was handed over without this variable.
    os.environ[SERVER] = os.environ.pop(OPENED)
    # From here on, the package is imported from the repository that the command is called in.
    forget()
    importlib.import_module(COMMANDS[command]).main()
else:
    for module in (*COMMANDS.values(), *LATER):
        importlib.import_module(module)
    # Snakemake looks for its plugins when it makes its argument parser.
    sys.modules["snakemake.cli"].get_argument_parser()
