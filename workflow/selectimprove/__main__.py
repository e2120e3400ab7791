"""The command line ``selectimprove``: what is asked of results, once or away from this repository."""

import argparse
import importlib
import sys

from selectimprove.errors import ParamsError

COMMANDS = ("plan", "show", "export", "split")
"""Modules of `selectimprove.commands`. Each has `add_arguments(parser)` and `run(options)`; its docstring is its help."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a mistake of the caller is one line on stderr and exit status 1."""
    parser = argparse.ArgumentParser(prog="selectimprove", description=__doc__)
    chosen = parser.add_subparsers(dest="command", required=True, metavar="command")
    asked = (sys.argv[1:] if arguments is None else arguments)[:1]
    # Each needs packages of its own, which take longer to import than some commands do to run. Help tells of all.
    for name in [name for name in COMMANDS if asked == [name]] or COMMANDS:
        module = importlib.import_module(f"selectimprove.commands.{name}")
        summary = module.__doc__.partition("\n")[0]
        added = chosen.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(added)
        added.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    # A sign that the terminal does not know is no reason to fail.
    sys.stdout.reconfigure(errors="replace")
    try:
        options.run(options)
    except ParamsError as error:
        sys.exit(str(error))
    except BrokenPipeError:
        # Whoever reads has read enough, as `head` has.
        sys.stderr.close()


if __name__ == "__main__":
    main()
