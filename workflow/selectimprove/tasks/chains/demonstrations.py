"""Demonstrations of chains, each in one strategy; the share of forward ones is that of the mix (paper, SFT section)."""

from random import Random

from selectimprove.tasks.chains.problems import Problem, work_steps
from selectimprove.tasks.chains.settings import Demonstrations, Settings
from selectimprove.tasks.interface import DemonstrationsAspect
from selectimprove.tasks.shared import SUITED


def assign_strategies(problems: list[Problem], demonstrations: Demonstrations, seed: int) -> list[str]:
    """Choose a strategy for each problem; shares are exact within each problem type and number of steps."""
    cells: dict[tuple, list[int]] = {}
    for number, problem in enumerate(problems):
        cells.setdefault((problem.problem_type, problem.n_steps), []).append(number)
    strategies = ["backward"] * len(problems)
    rng = Random(f"strategies/{seed}")
    for cell in sorted(cells):
        n_forward = round(demonstrations.forward_share_of(cell[0]) * len(cells[cell]))
        for number in rng.sample(cells[cell], n_forward):
            strategies[number] = "forward"
    return strategies


class ChainDemonstrations(DemonstrationsAspect):
    """Demonstrations of chains."""

    def respond(self, settings: Settings, problem: Problem, strategy: str) -> str:
        """Write the correct response to a problem in a strategy."""
        guess = [] if strategy == SUITED[problem.problem_type] else ["guess"]
        first_value = problem.start if strategy == "forward" else problem.end
        words, _ = work_steps(settings.field, problem, strategy, first_value)
        return " ".join([strategy, *guess, *words, "answer", f"e{problem.answer}"])

    def demonstrate(
        self, settings: Settings, demonstrations: Demonstrations, problems: list[Problem], seed: int
    ) -> list[tuple[str, str]]:
        strategies = assign_strategies(problems, demonstrations, seed)
        return [(s, self.respond(settings, problem, s)) for s, problem in zip(strategies, problems, strict=True)]
