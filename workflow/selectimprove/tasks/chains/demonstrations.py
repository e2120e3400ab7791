"""Demonstrations of chains: each problem answered in one strategy.

The share of forward responses is the mix: 1 for F, 0 for B, one half for FB, where each problem is answered with either (paper,
SFT section).
"""

import random

from selectimprove.tasks.chains.problems import Problem
from selectimprove.tasks.chains.settings import Demonstrations, Settings
from selectimprove.tasks.chains.strategies import respond
from selectimprove.tasks.interface import DemonstrationsAspect


def assign_strategies(problems: list[Problem], forward_share: float, seed: int) -> list[str]:
    """Choose a strategy for each problem, the share exact within each problem type and number of steps.

    Parameters
    ----------
    problems : list of Problem
    forward_share : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    list of str
        ``forward`` or ``backward``, in the order of `problems`.
    """
    cells: dict[tuple, list[int]] = {}
    for number, problem in enumerate(problems):
        cells.setdefault((problem.problem_type, problem.n_steps), []).append(number)
    strategies = ["backward"] * len(problems)
    rng = random.Random(f"strategies/{seed}")
    for cell in sorted(cells):
        for number in rng.sample(cells[cell], round(forward_share * len(cells[cell]))):
            strategies[number] = "forward"
    return strategies


class ChainDemonstrations(DemonstrationsAspect):
    """Demonstrations of chains."""

    def demonstrate(
        self, settings: Settings, demonstrations: Demonstrations, problems: list[Problem], seed: int
    ) -> list[tuple[str, str]]:
        """Answer every problem; returns strategy and completion."""
        strategies = assign_strategies(problems, demonstrations.forward_share, seed)
        field = settings.field
        return [(strategy, respond(field, p, strategy)) for p, strategy in zip(problems, strategies, strict=True)]
