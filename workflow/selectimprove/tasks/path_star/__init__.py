"""Paths in a star of chains: a task without arithmetic, after Bachmann & Nagarajan (2024), "The pitfalls of next-token prediction".

Arms of equal length meet in a hub, and asked for is a node next to it: that of the arm of a named leaf. Edges have a direction. In an
*evaluation* problem they lead into the hub, and the path from the leaf to the hub is to be followed to its end; in an *inversion* problem
they lead away from it, and a path from the hub to the leaf is to be traced to its beginning. Edges stand in random order, nodes have random names
and arms are alike, so nothing but the path tells the answer from the hub's other neighbours::

    edges e7 e4 , e9 e2 , e2 e4 , e1 e7 , from e9 to e4 find-end
    edges e4 e7 , e2 e9 , e4 e2 , e7 e1 , from e4 to e9 find-start

*Forward* walks along the edges from where the path begins, *backward* against them from where it ends. A walk that begins at the leaf has
one edge to take at each node: so forward suits evaluation, backward inversion. A walk that begins at the hub has to guess the arm, says so, and
answers its first node. Demonstrations guess right; to the second problem::

    forward e4 guess e2 e9 answer e2
    backward e9 e2 e4 answer e2

The base model reads drills, which look up single edges, and walks in a direction drawn without regard to the type, on arms guessed at
random, on stars of the splits that SFT draws from. Past a number of steps backward walks may slip, once: in place of the node before an
edge they take the one after it in the list, which begins the next edge. As a slip is likelier than not, greedy decoding makes it too.
"""

from selectimprove.tasks.interface import Task
from selectimprove.tasks.path_star import settings
from selectimprove.tasks.path_star.demonstrations import PathStarDemonstrations
from selectimprove.tasks.path_star.documents import PathStarDocuments
from selectimprove.tasks.path_star.labels import PathStarLabels
from selectimprove.tasks.path_star.problems import PathStarProblems


class PathStar(PathStarProblems, PathStarDemonstrations, PathStarDocuments, PathStarLabels, Task):
    """Paths in a star of chains: find the node next to the hub on the path of a named leaf."""

    Settings = settings.Settings
    Problems = settings.Problems
    Demonstrations = settings.Demonstrations
    Documents = settings.Documents
