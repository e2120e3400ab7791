"""Demonstrations of path-stars: each problem answered in one strategy, by the share of the mix."""

from selectimprove.tasks.chains.demonstrations import assign_strategies
from selectimprove.tasks.interface import DemonstrationsAspect
from selectimprove.tasks.path_star.problems import SUITED, Problem, write_walk
from selectimprove.tasks.path_star.settings import Demonstrations, Settings


def respond(problem: Problem, strategy: str) -> str:
    """Write the right response in a strategy."""
    path = problem.path if strategy == "forward" else problem.path[::-1]
    return " ".join(write_walk(strategy, path, SUITED[problem.problem_type] != strategy, problem.answer))


class PathStarDemonstrations(DemonstrationsAspect):
    """Demonstrations of path-stars."""

    def demonstrate(
        self, settings: Settings, demonstrations: Demonstrations, problems: list[Problem], seed: int
    ) -> list[tuple[str, str]]:
        """Answer every problem; returns strategy and completion."""
        strategies = assign_strategies(problems, demonstrations.forward_share, seed)
        return [(strategy, respond(p, strategy)) for p, strategy in zip(problems, strategies, strict=True)]
