"""Commands that are forked from a process that has imported what they import.

The suite calls Snakemake two hundred times, and Snakemake starts stages. Each does here what it does by itself, from the code, in the folder and with
the environment that a test gives it; it is spared the imports of packages, which are half of its time. The server is that of
`selectimprove.artifacts.forking`. Tests of how processes start, are interrupted or die do without.
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
"""What they import only when they run."""
OPENED = "TESTS_SERVER"
"""The variable that names the server, as `SERVER` does, to all the processes that share the tests, and to the commands."""
HERE = str(Path(__file__).parent)
# All that it imports, every command would: it does without site-packages.
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
    """Open a server that ends with this process, and put stand-ins for the commands beside its socket; not where forks are unsafe."""
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
    """Return the environment of a process that finds the server, if one has been opened, and calls the stand-ins."""
    if OPENED not in os.environ:
        return environment
    path = f"{_folder_of_stand_ins()}{os.pathsep}{environment['PATH']}"
    return environment | {"PATH": path, SERVER: os.environ[OPENED], OPENED: os.environ[OPENED]}


if __name__ == "__main__":
    command = sys.argv.pop(1)
    sys.argv[0] = str(Path(sys.executable).with_name(command))
    sys.path.remove(HERE)
    os.environ["PYTHONPATH"] = os.environ["PYTHONPATH"].partition(os.pathsep)[2]
    # The command was handed over without it.
    os.environ[SERVER] = os.environ.pop(OPENED)
    # What is imported from here on is the code of the repository that the command is called in.
    forget()
    importlib.import_module(COMMANDS[command]).main()
else:
    for module in (*COMMANDS.values(), *LATER):
        importlib.import_module(module)
    # So are the plugins of Snakemake, for which it looks when it reads its arguments.
    sys.modules["snakemake.cli"].get_argument_parser()
