"""Paths in a star of chains: a task without arithmetic.

It follows Bachmann & Nagarajan (2024), "The pitfalls of next-token prediction". Arms of equal length meet in a hub. The
prompt names the leaf of one arm and asks for the node next to the hub on that arm. Edges have a direction. In an
*evaluation* problem they lead to the hub, and the answer is near the end of the path from the leaf to the hub. In an
*inversion* problem they lead away from it, and the answer is near the beginning of the path from the hub to the leaf.
The order of edges and the names of nodes are random, so only the path tells the answer from the hub's other
neighbours::

    edges e7 e4 , e9 e2 , e2 e4 , e1 e7 , from e9 to e4 find-end
    edges e4 e7 , e2 e9 , e4 e2 , e7 e1 , from e4 to e9 find-start

*Forward* walks along the edges from the beginning of the path, *backward* against them from its end. A walk from the
leaf has one edge to take at each node, so forward suits evaluation and backward inversion. A walk from the hub has to
guess the arm, announces the guess, and answers the arm's first node. Demonstrations guess right. Those of the second
problem are::

    forward e4 guess e2 e9 answer e2
    backward e9 e2 e4 answer e2

The base model reads drills of single edges, and walks in a direction that is independent of the type, on arms guessed
at random. A backward walk may slip once after some steps, to the node that begins the next edge of the list.
"""

from selectimprove.tasks.chains import settings as chains
from selectimprove.tasks.interface import Task
from selectimprove.tasks.path_star import settings
from selectimprove.tasks.path_star.labels import PathStarLabels
from selectimprove.tasks.path_star.problems import PathStarTexts


class PathStar(PathStarTexts, PathStarLabels, Task):
    """Find the node next to the hub on the path of a named leaf."""

    Settings = settings.Settings
    Problems = chains.Problems
    Demonstrations = chains.Demonstrations
    Documents = settings.Documents
