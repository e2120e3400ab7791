"""The error that tells a user of a mistake."""


class ParamsError(ValueError):
    """A user's mistake, said in one line."""


def one_line(text: str, longest: int = 400) -> str:
    """Escape characters that cannot be printed, such as line ends, and cut a text that is too long to read."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
