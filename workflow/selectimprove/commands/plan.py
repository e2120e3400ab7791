"""What a run would make, why, and how long it takes; nothing is started.

With names of figures, tables or experiments, it tells of these alone.
"""

import argparse
import os
from pathlib import Path

from selectimprove.commands.checkout import use_own_source
from selectimprove.config.loading import load_params
from selectimprove.dag.forecast import forecast
from selectimprove.dag.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "names", nargs="*", help="figures, tables or experiments of params.yaml; all that are drawn by default if none"
    )
    parser.add_argument("--scale", help="in place of that of params.yaml")
    parser.add_argument(
        "--cores", type=int, default=os.cpu_count(), help="jobs at once; those of this machine by default"
    )


def run(options: argparse.Namespace) -> None:
    """Print the forecast for the checkout in the current folder."""
    use_own_source()
    overrides = {"scale": options.scale} if options.scale else {}
    print(forecast(Plan(load_params(Path("params.yaml"), overrides)), options.cores, options.names))
