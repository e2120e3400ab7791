"""Numbers that an option of the command line takes."""

from argparse import ArgumentTypeError


def natural(text: str, least: int = 0) -> int:
    """Read a whole number that is not below the least."""
    # int() also takes spaces, underscores and other scripts' digits.
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    return natural(text, 1)
