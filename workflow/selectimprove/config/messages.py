"""Messages of one line: the key, what is wrong with its value, and what would be right."""

import difflib
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from selectimprove.errors import one_line
from selectimprove.types import Strict

LONGEST = 61
"""Most characters of a value that a message shows."""


def describe_all(mistakes: list[dict], root: type[Strict]) -> list[str]:
    """Describe the mistakes in pydantic's ``ValidationError.errors`` when it validated the type `root`, a line each."""
    # A mistake that a task inherits from the task that it extends is reported only for the latter.
    own = {}
    for mistake in mistakes:
        place = mistake["loc"]
        own.setdefault((place[2:] if place[:1] == ("tasks",) else place, mistake["msg"]), mistake)
    lines, misspelt = [], set()
    for mistake in sorted(own.values(), key=lambda mistake: mistake["type"] != "extra_forbidden"):
        key, place = ".".join(str(part) for part in mistake["loc"] if part != "[key]"), mistake["loc"]
        if mistake["type"] == "extra_forbidden":
            known = _known_keys(place, root)
            close = difflib.get_close_matches(str(place[-1]), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
            lines.append(f"{key}: unknown key; {hint}")
            misspelt.update((*place[:-1], name) for name in close)
        elif mistake["type"] == "contradictions":
            lines += [f"{key}.{line}" if key else line for line in mistake["msg"].splitlines()]
        # A misspelt key is also a missing one, but is reported once.
        elif mistake["type"] != "missing" or place not in misspelt:
            lines.append(f"{key}: {_what(mistake)}")
    return lines


def _what(mistake: dict) -> str:
    if mistake["type"] == "missing":
        return "missing"
    given = one_line(repr(mistake["input"]), LONGEST)
    if mistake["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"expected keys with values, not {given}"
    message = mistake["msg"].removeprefix("Value error, ")
    said = "" if mistake["type"] == "value_error" else f", not {given}"
    return f"{message[0].lower()}{message[1:]}{said}"


def _known_keys(location: tuple, root: type[Strict]) -> list[str]:
    """List the keys that are known where an unknown one was found."""
    kind = root
    for part in location[:-1]:
        if hasattr(kind, "model_fields"):
            # pydantic also lists the alternative of a union, which is no key.
            field = kind.model_fields.get(part)
            kind = _with_keys(field.annotation) if field else kind
        elif get_origin(kind) in (dict, list):
            kind = _with_keys(get_args(kind)[-1])
    return list(getattr(kind, "model_fields", root.model_fields))


def _with_keys(annotation):
    """Return the alternative of an annotation that has keys, if there is one."""
    if get_origin(annotation) is Annotated:
        return _with_keys(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [_with_keys(kind) for kind in get_args(annotation)]
        return next((kind for kind in kinds if hasattr(kind, "model_fields")), kinds[0])
    return annotation


def unknown_name(key: str, name: str, known: Iterable[str]) -> list[str]:
    """Return a line that says that a name is unknown and suggests another; none if it is known."""
    known = list(known)
    if name in known:
        return []
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(known)}" if known else "none is known"
    return [f"{key}: {one_line(repr(name), LONGEST)} is unknown; {hint}"]
