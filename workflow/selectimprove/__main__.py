"""Plan runs of this workflow, inspect its results, and use them elsewhere."""

import argparse
import importlib
import sys

from selectimprove.errors import ParamsError

COMMANDS = ("plan", "show", "export", "split")
"""Modules of `selectimprove.commands` with `add_arguments(parser)` and `run(options)`; docstrings are the help."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a mistake of the user is one line on stderr and exit status 1."""
    parser = argparse.ArgumentParser(prog="selectimprove", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    first = (sys.argv[1:] if arguments is None else arguments)[:1]
    # Importing one command can take longer than running another, and only the help needs all.
    for name in [name for name in COMMANDS if [name] == first] or COMMANDS:
        module = importlib.import_module(f"selectimprove.commands.{name}")
        subparser = subparsers.add_parser(
            name,
            help=module.__doc__.partition("\n")[0],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    # A terminal may lack a character that is printed.
    sys.stdout.reconfigure(errors="replace")
    try:
        options.run(options)
    except ParamsError as error:
        sys.exit(str(error))
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe.
        sys.stderr.close()


if __name__ == "__main__":
    main()
