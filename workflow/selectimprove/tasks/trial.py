"""Sends one problem through every method of a task when a run is planned, so that no mistake shows after hours."""

from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from selectimprove.tasks.interface import ALL_MEMBERS, ASPECTS, Settings, Task

ATTRIBUTES = {name: kind for aspect in ASPECTS.values() for name, kind in aspect.__annotations__.items()}
RETURNS = {
    name: method.__annotations__["return"]
    for aspect in ASPECTS.values()
    for name, method in vars(aspect).items()
    if name in ALL_MEMBERS and callable(method)
}
# Making one takes milliseconds.
adapter = cache(lambda kind: TypeAdapter(kind, config=ConfigDict(strict=True, arbitrary_types_allowed=True)))


def find_mistake(task: Task, settings: Settings, section: Any) -> str | None:
    """Return the first member of a task that fails or is of another type, given its settings and section."""
    member = ""

    def call(name: str, *arguments, **columns):
        nonlocal member
        member = name
        found = getattr(task, name)(*arguments)
        adapter(RETURNS[name]).validate_python(found)
        for column, kind in columns.items():
            member = f"{name}[{column!r}]"
            adapter(kind).validate_python(found[column])
        return found

    try:
        for member, kind in ATTRIBUTES.items():
            adapter(kind).validate_python(getattr(task, member))
        (problem,) = call("draw_problems", settings, section.sft_problems, 1, "sft_train", 0)
        problem_type = Literal[settings.problem_types]
        row = call("to_row", problem, prompt=str, answer=int, n_steps=int, problem_type=problem_type)
        if call("from_row", row) != problem:
            raise ValueError("does not undo to_row")
        call("content_of", problem)
        call("answer_text", problem.answer)
        call("longest_response", settings, problem.n_steps)
        mixes = [*section.sft_mixes.values()]
        if not mixes:
            return None
        ((strategy, completion),) = call("demonstrate", settings, mixes[0], [problem], 0)
        adapter(Literal[task.strategies]).validate_python(strategy)
        call("reward", completion, problem.answer)
        call("vocabulary", settings)
        (document,) = call("draw_documents", settings, section.documents, 1, Random(0))
        adapter(list[str]).validate_python(document.prompt + document.response)
        kinds = {"strategy": Literal[task.label_strategies], "first_error": Literal[task.first_errors]}
        labels = call("label", settings, problem, completion, **kinds, correct=bool, answer=int | None)
        call("mark_steps", SimpleNamespace(**row | labels, completion=completion))
    except ValidationError as error:
        found = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in found["loc"])
        return f"{member}{place}: {found['msg'][0].lower()}{found['msg'][1:]}, not {found['input']!r}"
    except Exception as error:
        return f"{member}: {type(error).__name__}: {error}"
    return None
