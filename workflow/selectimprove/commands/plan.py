"""What a run would make, why, and how long it takes; nothing is started.

With names of figures, tables or experiments, or ``audit``, it tells of these alone. Examples, at the root of a checkout::

    selectimprove plan gf13
    selectimprove plan main --config 'rl={beta: 0.1}'
"""

import argparse

from selectimprove.commands.checkout import open_plan
from selectimprove.commands.numbers import positive
from selectimprove.dag.forecast import forecast


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "names",
        nargs="*",
        help="figures, tables or experiments of params.yaml, or audit; all figures and tables that are drawn by default if none",
    )
    parser.add_argument("--scale", help="in place of that of params.yaml")
    parser.add_argument(
        "--config",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="in place of values of params.yaml, as for snakemake",
    )
    parser.add_argument("--cores", type=positive, help="jobs at once; those of this machine by default")
    parser.add_argument("--gpus", type=positive, default=1, help="of them jobs that take a GPU each; 1 by default")


def run(options: argparse.Namespace) -> None:
    """Print the forecast for the checkout in the current folder."""
    # The other commands, of which the arguments are declared with these, need not import Snakemake.
    from snakemake.utils import available_cpu_count

    cores = options.cores or available_cpu_count()
    print(forecast(open_plan(options.scale, options.config), cores, options.names, options.gpus))
