"""The commands of ``selectimprove``: one module each, with its arguments and a function `run`."""
