"""Demonstrations of chains, of unsuited strategies alone or without the words that name them.

In unsuited demonstrations both strategies occur as often as in FB, but never where they suit: what a model selects after RL, it was
then not shown on that type of problem.
"""

from selectimprove.tasks.chains.demonstrations import assign_strategies
from selectimprove.tasks.chains.problems import STRATEGIES, SUITED
from selectimprove.tasks.chains.strategies import respond
from selectimprove.tasks.interface import DemonstrationsAspect
from selectimprove.tasks.rewritten_chains.problems import Problem
from selectimprove.tasks.rewritten_chains.settings import Demonstrations, Settings

DIRECTION_WORDS = (*STRATEGIES, "guess")


def without_direction(words: list[str]) -> list[str]:
    """Leave out what a response says before its first value."""
    return [word for word in words if word not in DIRECTION_WORDS]


def unsuited(problem: Problem) -> str:
    """Name the strategy that needs a guess on a problem."""
    return next(strategy for strategy in STRATEGIES if strategy != SUITED[problem.problem_type])


class RewrittenDemonstrations(DemonstrationsAspect):
    """Demonstrations of chains, written and paired as the settings say."""

    def demonstrate(
        self, settings: Settings, demonstrations: Demonstrations, problems: list[Problem], seed: int
    ) -> list[tuple[str, str]]:
        """Answer every problem; returns strategy and completion."""
        if demonstrations.pairing == "unsuited":
            strategies = list(map(unsuited, problems))
        else:
            strategies = assign_strategies(problems, demonstrations.forward_share, seed)
        answered = []
        for strategy, problem in zip(strategies, problems, strict=True):
            response = respond(settings.field, problem, strategy)
            if not settings.direction_words:
                response = " ".join(without_direction(response.split()))
            answered.append((strategy, response))
        return answered
