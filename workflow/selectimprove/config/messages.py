"""What a person is told of values that do not fit their types: a line per mistake, with the key and what would be right."""

import difflib
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

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
        lines.append(f"{_key(mistake)}: {_what(mistake)}")
    return lines


def _what(mistake: dict) -> str:
    """Say what is wrong with a value, and the value."""
    if mistake["type"] == "missing":
        return "missing"
    given = _shown(mistake["input"])
    if mistake["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"expected keys with values, not {given}"
    message = mistake["msg"].removeprefix("Value error, ")
    said = "" if mistake["type"] == "value_error" else f", not {given}"
    return f"{message[0].lower()}{message[1:]}{said}"


def _shown(value: object, longest: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


def _key(mistake: dict) -> str:
    return ".".join(str(part) for part in mistake["loc"] if part != "[key]")


def _keys_beside(location: tuple, root: type[Strict]) -> list[str]:
    """List the keys that are known where a key was found."""
    annotation = root
    for part in location[:-1]:
        annotation = _below(_plain(annotation), part)
    return list(getattr(_plain(annotation), "model_fields", root.model_fields))


def _plain(annotation):
    """Return the type that a value with keys has among the alternatives of an annotation."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [_plain(kind) for kind in get_args(annotation)]
        return next((kind for kind in kinds if hasattr(kind, "model_fields")), kinds[0])
    return annotation


def _below(annotation, part):
    """Return the annotation of what a type has under a key or number."""
    if hasattr(annotation, "model_fields"):
        field = annotation.model_fields.get(part)
        # The name of an alternative is no key.
        return field.annotation if field else annotation
    return get_args(annotation)[-1] if get_origin(annotation) in (dict, list) else annotation


def unknown_name(key: str, name: str, known: Iterable[str]) -> list[str]:
    """Say in a line that a name is unknown, if it is, and which is meant."""
    known = list(known)
    if name in known:
        return []
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(known)}" if known else "none is known"
    return [f"{key}: {_shown(name)} is unknown; {hint}"]
