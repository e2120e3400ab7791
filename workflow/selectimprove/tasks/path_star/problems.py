"""Problems, demonstrations and documents of path-stars; see the package."""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from random import Random

from selectimprove.tasks.chains.demonstrations import ChainDemonstrations
from selectimprove.tasks.chains.settings import Problems
from selectimprove.tasks.interface import Document, DocumentsAspect, ProblemsAspect, Refusals
from selectimprove.tasks.path_star.settings import Documents, Settings
from selectimprove.tasks.shared import QUESTIONS, READ_SPLITS, STRATEGIES, SUITED, SymbolProblems, split_of_content


@dataclass(frozen=True)
class Problem:
    """A star and one of its leaves."""

    problem_type: str
    hub: int
    nodes: tuple[int, ...]
    """The nodes of all arms, each arm from the hub outwards. The path is on the first arm."""
    n_arms: int
    order: tuple[int, ...]
    """The edges in the order of the prompt; edge ``i`` joins ``nodes[i]`` to the next node towards the hub."""
    cued: bool

    @property
    def n_steps(self) -> int:
        return len(self.nodes) // self.n_arms

    @property
    def answer(self) -> int:
        return self.nodes[0]

    @property
    def content(self) -> tuple:
        """The star as an undirected graph, without the leaf that is named."""
        n = self.n_steps
        return self.hub, tuple(sorted(self.nodes[i : i + n] for i in range(0, len(self.nodes), n)))

    @property
    def path(self) -> list[int]:
        """The nodes between hub and leaf, in the direction of the edges."""
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
        return " ".join([*_list_edges(self.edges), f"from e{self.path[0]} to e{self.path[-1]} {question}"])

    def next_nodes(self, node: int, strategy: str) -> list[int]:
        """List the nodes to which a strategy can go on."""
        if strategy == "forward":
            return [end for beginning, end in self.edges if beginning == node]
        return [beginning for beginning, end in self.edges if end == node]


def _list_edges(edges: list[tuple[int, int]]) -> list[str]:
    return ["edges", *(word for beginning, end in edges for word in (f"e{beginning}", f"e{end}", ","))]


def draw_star(settings: Settings, problem_type: str, n_steps: int, splits: tuple[str, ...], rng: Random) -> Problem:
    """Draw a star whose split is one of `splits`."""
    n_edges = settings.n_arms * n_steps
    while True:
        hub, *nodes = rng.sample(range(settings.n_nodes), n_edges + 1)
        order = tuple(rng.sample(range(n_edges), n_edges))
        problem = Problem(problem_type, hub, tuple(nodes), settings.n_arms, order, settings.cued)
        if split_of_content(repr(problem.content), settings.split_shares) in splits:
            return problem


def _write_walk(strategy: str, walk: list[int], guesses: bool, answer: int) -> list[str]:
    """List the words of a response; if `guesses`, it announces the guess of an arm."""
    start, *others = (f"e{node}" for node in walk)
    return [strategy, start, *(["guess"] if guesses else []), *others, "answer", f"e{answer}"]


def _drill(settings: Settings, n_edges: int, rng: Random) -> Document:
    """List edges that share no nodes, which is easier than a star, and go through them in another order."""
    nodes = rng.sample(range(settings.n_nodes), 2 * n_edges)
    edges = list(zip(nodes[:n_edges], nodes[n_edges:], strict=True))
    strategy = rng.choice(STRATEGIES)
    pairs = [edge if strategy == "forward" else edge[::-1] for edge in rng.sample(edges, n_edges)]
    words = [f"e{node}" for pair in pairs for node in pair]
    return Document([*_list_edges(edges), strategy], words, (False, True) * n_edges)


def _walk(settings: Settings, documents: Documents, n_steps: int, rng: Random) -> Document:
    strategy = "backward" if rng.random() < documents.backward_share else "forward"
    problem = draw_star(settings, rng.choice(settings.problem_types), n_steps, READ_SPLITS, rng)
    edges, suited = problem.edges, SUITED[problem.problem_type] == strategy
    walk, slipped = [problem.path[0 if strategy == "forward" else -1]], False
    # The walk ends at the hub or at a leaf.
    while following := problem.next_nodes(walk[-1], strategy):
        node = rng.choice(following)
        if strategy == "backward" and len(walk) > documents.backward_sound_steps and not slipped:
            at = edges.index((node, walk[-1])) + 1
            if at < len(edges) and rng.random() < documents.backward_error:
                node, slipped = edges[at][0], True
        walk.append(node)
    answer = walk[-2] if suited else walk[1]
    return Document(problem.prompt.split(), [*_write_walk(strategy, walk, not suited, answer), Document.END])


def _too_many_nodes(settings: Settings, key: str, n_steps: int) -> Refusals:
    """Refuse stars with more nodes than names."""
    if (n_nodes := settings.n_arms * n_steps + 1) > settings.n_nodes:
        yield key, f"arms of {n_steps} edges make stars of {n_nodes} nodes, but n_nodes is {settings.n_nodes}"


class PathStarTexts(SymbolProblems, ProblemsAspect, ChainDemonstrations, DocumentsAspect):
    """Problems, demonstrations and documents of path-stars; a mix is as in chains."""

    def draw_problems(self, settings: Settings, problems: Problems, n: int, split: str, seed: int) -> list[Problem]:
        """Draw problems on distinct stars; lengths have equal numbers within each type."""
        if mistakes := list(self.refuse_problems(settings, problems, n, split)):
            raise ValueError(mistakes[0][1])
        rng = Random(f"path_star/{seed}/{split}")
        drawn: dict[tuple, Problem] = {}
        for problem_type, n_of_type in problems.count_types(n).items():
            wanted = len(drawn) + n_of_type
            while len(drawn) < wanted:
                n_steps = problems.difficulties[(wanted - len(drawn)) % len(problems.difficulties)]
                problem = draw_star(settings, problem_type, n_steps, (split,), rng)
                drawn.setdefault(problem.content, problem)
        return rng.sample(list(drawn.values()), n)

    def refuse_problems(self, settings: Settings, problems: Problems, n: int, split: str) -> Refusals:
        """Refuse stars with more nodes than names, and more problems than a split holds."""
        n_arms, (fewest, most) = settings.n_arms, problems.steps
        if mistakes := list(_too_many_nodes(settings, "steps", most)):
            yield from mistakes
            return
        stars = math.perm(settings.n_nodes, n_arms * fewest + 1) // math.factorial(n_arms)
        # Stars are drawn until enough differ, so the last stars of a split would take long.
        exist = int(stars * settings.split_shares[split] / 2)
        wanted = -(-n // len(problems.difficulties))
        if wanted > exist:
            asked = f"asks for {wanted} stars with arms of {fewest} edges, but split '{split}' gives only {exist}"
            yield "n_problems", f"{asked}; ask for fewer, or for more nodes"

    def from_row(self, row: dict) -> Problem:
        values = {field.name: row[field.name] for field in fields(Problem)}
        return Problem(**values | {name: tuple(map(int, row[name])) for name in ("nodes", "order")})

    def longest_response(self, settings: Settings, n_steps: int) -> list[str]:
        """List the words of a walk that slips outwards at its last step, with the longest names."""
        node = f"e{settings.n_nodes - 1}"
        return ["backward", "guess", *[node] * (2 * n_steps + 1), "answer", node]

    def respond(self, settings: Settings, problem: Problem, strategy: str) -> str:
        path = problem.path if strategy == "forward" else problem.path[::-1]
        return " ".join(_write_walk(strategy, path, SUITED[problem.problem_type] != strategy, problem.answer))

    def vocabulary(self, settings: Settings) -> list[str]:
        nodes = [f"e{node}" for node in range(settings.n_nodes)]
        words = [",", "from", "to", "find", *QUESTIONS.values(), *STRATEGIES, "guess", "answer", *nodes]
        return ["edges", *(f" {word}" for word in words)]

    def draw_documents(self, settings: Settings, documents: Documents, batch_size: int, rng: Random) -> list[Document]:
        """Draw a batch of walks on stars with arms of one length, and of drills."""
        n_steps = rng.randint(1, documents.max_steps)
        n_drills = round(batch_size * documents.drill_share)
        walks = [_walk(settings, documents, n_steps, rng) for _ in range(batch_size - n_drills)]
        return [*walks, *(_drill(settings, documents.drill_edges, rng) for _ in range(n_drills))]

    def refuse_documents(self, settings: Settings, documents: Documents) -> Refusals:
        """Refuse stars and drills with more nodes than names."""
        yield from _too_many_nodes(settings, "max_steps", documents.max_steps)
        n_edges, n_nodes = documents.drill_edges, settings.n_nodes
        if 2 * n_edges > n_nodes:
            yield "drill_edges", f"{n_edges} edges have {2 * n_edges} nodes, but n_nodes is {n_nodes}"
