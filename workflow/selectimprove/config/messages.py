"""What a person is told of values that do not fit their types: a line per mistake, with the key and what would be right."""

import difflib
from collections.abc import Iterable
from types import UnionType

from selectimprove.config.params import Params
from selectimprove.types import Strict


def describe_all(mistakes: list[dict], root: type[Strict] = Params) -> list[str]:
    """Describe each of pydantic's mistakes in a line, those that a task has from the one it extends once.

    Parameters
    ----------
    mistakes : list of dict
        As ``ValidationError.errors`` has them.
    root : type
        What was validated; it says which keys are known.
    """
    own = {
        (mistake["loc"][2:] if mistake["loc"][:1] == ("tasks",) else mistake["loc"], mistake["msg"]): mistake
        for mistake in reversed(mistakes)
    }
    mistakes = [mistake for mistake in mistakes if any(mistake is kept for kept in own.values())]
    lines, explained = [], set()
    for mistake in mistakes:
        if mistake["type"] == "extra_forbidden":
            known = _keys_beside(mistake["loc"], root)
            close = difflib.get_close_matches(str(mistake["loc"][-1]), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
            lines.append(f"{_key(mistake)}: unknown key; {hint}")
            explained.update((*mistake["loc"][:-1], name) for name in close)
    for mistake in mistakes:
        # A misspelt key is also a missing one; once is enough.
        if mistake["type"] == "extra_forbidden" or (mistake["type"] == "missing" and mistake["loc"] in explained):
            continue
        message = mistake["msg"].removeprefix("Value error, ")
        given = "" if mistake["type"] in ("missing", "value_error") else f", not {mistake['input']!r}"
        lines.append(f"{_key(mistake)}: {message[0].lower()}{message[1:]}{given}")
    return lines


def _key(mistake: dict) -> str:
    return ".".join(str(part) for part in mistake["loc"] if part != "[key]")


def _keys_beside(location: tuple, root: type[Strict]) -> list[str]:
    """List the keys that are known where a key was found."""
    annotation = root
    for part in location[:-1]:
        field = getattr(annotation, "model_fields", {}).get(part)
        inner = field.annotation if field else annotation
        # Below a mapping such as `experiments`, any name leads to the mapping's value type.
        annotation = inner.__args__[1] if getattr(inner, "__origin__", None) is dict and field is None else inner
        if isinstance(annotation, UnionType):
            annotation = annotation.__args__[0]
    return list(getattr(annotation, "model_fields", root.model_fields))


def unknown_name(key: str, name: str, known: Iterable[str]) -> list[str]:
    """Say in a line that a name is unknown, if it is, and which is meant."""
    if name in known:
        return []
    close = difflib.get_close_matches(name, list(known), n=1)
    return [
        f"{key}: '{name}' is unknown; " + (f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(known)}")
    ]
