"""The error that a user can act on."""


class ParamsError(ValueError):
    """A user's mistake, said in one line."""
