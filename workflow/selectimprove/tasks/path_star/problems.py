"""Problems: stars, of which the node next to the hub is asked for that lies towards a named leaf."""

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property

from selectimprove.tasks.interface import ProblemsAspect
from selectimprove.tasks.path_star.settings import Problems, Settings
from selectimprove.tasks.reward import SymbolAnswers, answer_text
from selectimprove.tasks.splits import split_of_content

STRATEGIES = ("forward", "backward")
SUITED = {"evaluation": "forward", "inversion": "backward"}
"""The strategy that reaches the answer of each problem type without a guess."""
QUESTIONS = {"evaluation": "find-end", "inversion": "find-start"}


@dataclass(frozen=True)
class Problem:
    """A star and one of its leaves.

    Parameters
    ----------
    problem_type : {'evaluation', 'inversion'}
    hub : int
    nodes : tuple of int
        Of one arm after the other, from the hub outwards; the path's arm is the first.
    n_arms : int
    order : tuple of int
        Of the edges in the prompt: edge ``i`` joins ``nodes[i]`` to its neighbour on the side of the hub.
    cued : bool
    """

    problem_type: str
    hub: int
    nodes: tuple[int, ...]
    n_arms: int
    order: tuple[int, ...]
    cued: bool

    @property
    def n_steps(self) -> int:
        return len(self.nodes) // self.n_arms

    @property
    def answer(self) -> int:
        return self.nodes[0]

    @property
    def path(self) -> list[int]:
        """The nodes of the path that is asked for, in its direction."""
        outwards = [self.hub, *self.nodes[: self.n_steps]]
        return outwards if self.problem_type == "inversion" else outwards[::-1]

    @cached_property
    def edges(self) -> list[tuple[int, int]]:
        """Beginning and end of each edge, in the order of the prompt."""
        inner = [self.hub if i % self.n_steps == 0 else self.nodes[i - 1] for i in range(len(self.nodes))]
        pairs = [(inner[i], self.nodes[i]) for i in self.order]
        return pairs if self.problem_type == "inversion" else [(end, beginning) for beginning, end in pairs]

    @property
    def prompt(self) -> str:
        question = QUESTIONS[self.problem_type] if self.cued else "find"
        return f"{list_edges(self.edges)} from e{self.path[0]} to e{self.path[-1]} {question}"

    def next_nodes(self, node: int, strategy: str) -> list[int]:
        """List the nodes to which a strategy can go on."""
        if strategy == "forward":
            return [end for beginning, end in self.edges if beginning == node]
        return [beginning for beginning, end in self.edges if end == node]


def list_edges(edges: list[tuple[int, int]]) -> str:
    """Write edges as a prompt does."""
    return " ".join(["edges", *(f"e{beginning} e{end} ," for beginning, end in edges)])


def content_of(problem: Problem) -> tuple:
    """Return the star as a graph without directions, whichever leaf is named."""
    n = problem.n_steps
    return problem.hub, tuple(sorted(problem.nodes[i : i + n] for i in range(0, len(problem.nodes), n)))


def write_walk(strategy: str, walk: list[int], guesses: bool, answer: int) -> list[str]:
    """List the words of a response; the guess of an arm is announced."""
    start, *others = map(answer_text, walk)
    return [strategy, start, *(["guess"] if guesses else []), *others, "answer", answer_text(answer)]


def split_of(problem: Problem, split_shares: dict[str, float]) -> str:
    """Tell to which split a star belongs, whichever leaf is named."""
    return split_of_content(repr(content_of(problem)), split_shares)


def draw_star(
    settings: Settings, problem_type: str, n_steps: int, splits: tuple[str, ...], rng: random.Random
) -> Problem:
    """Draw a star of one of some splits."""
    n_edges = settings.n_arms * n_steps
    while True:
        hub, *nodes = rng.sample(range(settings.n_nodes), n_edges + 1)
        order = tuple(rng.sample(range(n_edges), n_edges))
        problem = Problem(problem_type, hub, tuple(nodes), settings.n_arms, order, settings.cued)
        if split_of(problem, settings.split_shares) in splits:
            return problem


def too_many_nodes(settings: Settings, n_steps: int) -> str:
    """Say that arms are too long for the names that there are."""
    n_nodes = settings.n_arms * n_steps + 1
    return f"arms of {n_steps} edges make stars of {n_nodes} nodes, but n_nodes is {settings.n_nodes}"


class PathStarProblems(SymbolAnswers, ProblemsAspect):
    """Problems of path-stars."""

    strategies = STRATEGIES
    suited = SUITED
    openings = {strategy: strategy for strategy in STRATEGIES}

    def draw_problems(
        self, settings: Settings, problems: Problems, n_problems: int, split: str, seed: int
    ) -> list[Problem]:
        """Draw problems of one split on distinct stars, spread evenly over lengths within each type."""
        if mistakes := list(self.refuse_problems(settings, problems, n_problems, split)):
            raise ValueError(mistakes[0][1])
        rng = random.Random(f"path_star/{seed}/{split}")
        drawn: dict[tuple, Problem] = {}
        for problem_type, n in problems.count_types(n_problems).items():
            wanted = len(drawn) + n
            while len(drawn) < wanted:
                n_steps = problems.difficulties[(wanted - len(drawn)) % len(problems.difficulties)]
                problem = draw_star(settings, problem_type, n_steps, (split,), rng)
                drawn.setdefault(content_of(problem), problem)
        return rng.sample(list(drawn.values()), n_problems)

    def to_row(self, problem: Problem) -> dict:
        return {**asdict(problem), "n_steps": problem.n_steps, "prompt": problem.prompt, "answer": problem.answer}

    def from_row(self, row: dict) -> Problem:
        values = {field.name: row[field.name] for field in fields(Problem)}
        return Problem(**values | {name: tuple(map(int, row[name])) for name in ("nodes", "order")})

    def content_of(self, problem: Problem) -> tuple:
        return content_of(problem)

    def longest_response(self, settings: Settings, n_steps: int) -> list[str]:
        """List the words of a walk that slips outwards at its last step, of nodes whose names have most digits."""
        node = answer_text(settings.n_nodes - 1)
        return ["backward", "guess", *[node] * (2 * n_steps + 1), "answer", node]

    def refuse_problems(
        self, settings: Settings, problems: Problems, n_problems: int, split: str
    ) -> Iterator[tuple[str, str]]:
        """Find stars with more nodes than names, and more problems than a split holds."""
        n_arms, (fewest, most) = settings.n_arms, problems.steps
        if n_arms * most + 1 > settings.n_nodes:
            yield "steps", too_many_nodes(settings, most)
            return
        stars = math.perm(settings.n_nodes, n_arms * fewest + 1) // math.factorial(n_arms)
        # Stars are drawn until so many differ: the last few of a split would take long.
        exist = int(stars * settings.split_shares[split] / 2)
        wanted = -(-n_problems // len(problems.difficulties))
        if wanted > exist:
            what = f"asks for {wanted} stars with arms of {fewest} edges, but split '{split}' gives only {exist}"
            yield "n_problems", f"{what}; ask for fewer, or for more nodes"
