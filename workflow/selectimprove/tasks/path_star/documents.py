"""What the base model reads: walks in a direction drawn without regard to the type of the problem; see the package."""

import random
from collections.abc import Iterator

from selectimprove.tasks.interface import Document, DocumentsAspect
from selectimprove.tasks.path_star.problems import (
    QUESTIONS,
    STRATEGIES,
    SUITED,
    answer_text,
    draw_star,
    list_edges,
    too_many_nodes,
    write_walk,
)
from selectimprove.tasks.path_star.settings import Documents, Settings

READ = ("sft_train", "sft_validation")
"""The splits whose stars a base model may read."""


def _drill(settings: Settings, n_edges: int, rng: random.Random) -> Document:
    """List edges that share no nodes, which is easier than a star, and go through them in another order."""
    nodes = rng.sample(range(settings.n_nodes), 2 * n_edges)
    edges = list(zip(nodes[:n_edges], nodes[n_edges:], strict=True))
    strategy = rng.choice(STRATEGIES)
    pairs = [edge if strategy == "forward" else edge[::-1] for edge in rng.sample(edges, n_edges)]
    words = [answer_text(node) for pair in pairs for node in pair]
    return Document([*list_edges(edges).split(), strategy], words, (False, True) * n_edges)


def _walk(settings: Settings, documents: Documents, n_steps: int, rng: random.Random) -> Document:
    strategy = "backward" if rng.random() < documents.backward_share else "forward"
    problem = draw_star(settings, rng.choice(settings.problem_types), n_steps, READ, rng)
    edges, suited = problem.edges, SUITED[problem.problem_type] == strategy
    walk, slipped = [problem.path[0 if strategy == "forward" else -1]], False
    # A walk that began at a leaf ends at the hub, one that began at the hub ends at a leaf.
    while following := problem.next_nodes(walk[-1], strategy):
        node = rng.choice(following)
        if strategy == "backward" and len(walk) > documents.backward_sound_steps and not slipped:
            at = edges.index((node, walk[-1])) + 1
            if at < len(edges) and rng.random() < documents.backward_error:
                node, slipped = edges[at][0], True
        walk.append(node)
    answer = walk[-2] if suited else walk[1]
    return Document(problem.prompt.split(), [*write_walk(strategy, walk, not suited, answer), Document.END])


class PathStarDocuments(DocumentsAspect):
    """Documents of path-stars."""

    def vocabulary(self, settings: Settings) -> list[str]:
        """List the tokens, a word each."""
        nodes = map(answer_text, range(settings.n_nodes))
        words = [",", "from", "to", "find", *QUESTIONS.values(), *STRATEGIES, "guess", "answer", *nodes]
        return ["edges", *(f" {word}" for word in words)]

    def draw_documents(
        self, settings: Settings, documents: Documents, batch_size: int, rng: random.Random
    ) -> list[Document]:
        """Draw a batch of walks on stars whose arms are all as long, and of drills."""
        n_steps = rng.randint(1, documents.max_steps)
        n_drills = round(batch_size * documents.drill_share)
        walks = [_walk(settings, documents, n_steps, rng) for _ in range(batch_size - n_drills)]
        return [*walks, *(_drill(settings, documents.drill_edges, rng) for _ in range(n_drills))]

    def refuse_documents(self, settings: Settings, documents: Documents) -> Iterator[tuple[str, str]]:
        """Find stars with more nodes than names, and splits that leave no star to read."""
        if settings.n_arms * documents.max_steps + 1 > settings.n_nodes:
            yield "max_steps", too_many_nodes(settings, documents.max_steps)
        if 2 * documents.drill_edges > settings.n_nodes:
            yield (
                "drill_edges",
                f"{documents.drill_edges} edges have {2 * documents.drill_edges} nodes, but n_nodes is {settings.n_nodes}",
            )
        if sum(settings.split_shares[split] for split in READ) < 0.01:
            yield (
                "max_steps",
                f"no stars to read: the shares of the splits {' and '.join(READ)} add up to less than 0.01",
            )
