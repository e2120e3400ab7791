"""Say what a run would make, why, and how long it would take; nothing is started.

Without names it plans all figures and tables that are drawn by default. Examples, at the root of a checkout::

    selectimprove plan gf13
    selectimprove plan main --config 'rl={beta: 0.1}'
"""

import argparse

from selectimprove.commands.arguments import open_plan, positive, require_known
from selectimprove.dag.forecast import AUDIT, forecast


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("names", nargs="*", help="figures, tables or experiments of params.yaml, `figures`, `extras` or `audit`")
    add("--scale", help="use this scale instead of that of params.yaml")
    add("--config", nargs="+", default=[], metavar="KEY=VALUE", help="change values of params.yaml, as for snakemake")
    add("--cores", type=positive, help="number of cores (default: those of this machine)")
    add("--gpus", type=positive, default=1, help="number of GPUs (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Print the forecast for the checkout in the current folder."""
    # Snakemake takes long to import, and the help needs the arguments of all commands.
    from snakemake.utils import available_cpu_count

    plan = open_plan(options.scale, options.config)
    names = []
    for name in options.names:
        require_known("target", name, ["figures", "extras", AUDIT, *plan.targets])
        names += {"figures": plan.exhibits, "extras": plan.extras}.get(name, [name])
    print(forecast(plan, options.cores or available_cpu_count(), names, options.gpus))
