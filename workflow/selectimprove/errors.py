"""The error that a user can act on."""


class ParamsError(ValueError):
    """A user's mistake, said in one line."""


def one_line(text: str, longest: int = 400) -> str:
    """Escape what is not printable, line ends first of all, and cut what is too long to read."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
