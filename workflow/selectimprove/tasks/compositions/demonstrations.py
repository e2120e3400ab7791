"""Demonstrations of compositions: part after part, each in the strategy that suits it."""

from selectimprove.tasks.compositions.problems import Composition, respond
from selectimprove.tasks.compositions.settings import Demonstrations, Settings

BY_PART = "by part"
"""The strategy of every response: another one may suit each part."""


def demonstrate(
    settings: Settings, demonstrations: Demonstrations, problems: list[Composition], seed: int
) -> list[tuple[str, str]]:
    """Answer every composition; returns strategy and completion."""
    return [(BY_PART, respond(settings.field, composition)) for composition in problems]
