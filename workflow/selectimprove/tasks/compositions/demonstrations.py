"""Demonstrations of compositions: part after part, each in the strategy that suits it."""

from selectimprove.tasks.compositions.problems import BY_PART, Composition, respond
from selectimprove.tasks.compositions.settings import Demonstrations, Settings
from selectimprove.tasks.interface import DemonstrationsAspect


class CompositionDemonstrations(DemonstrationsAspect):
    """Demonstrations of compositions."""

    def demonstrate(
        self, settings: Settings, demonstrations: Demonstrations, problems: list[Composition], seed: int
    ) -> list[tuple[str, str]]:
        """Answer every composition; returns strategy and completion."""
        return [(BY_PART, respond(settings.field, composition)) for composition in problems]
