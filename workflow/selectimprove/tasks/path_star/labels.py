"""Labels of responses to path-stars: they judge by the walk, not by the word that names a strategy."""

from itertools import pairwise

from selectimprove.tasks.interface import LabelsAspect, StepMark
from selectimprove.tasks.path_star.problems import Problem
from selectimprove.tasks.path_star.settings import Settings
from selectimprove.tasks.shared import STRATEGIES, answer_of

FIRST_ERRORS = ("none", "format", "start", "edge", "missing", "arm", "answer")
"""Kinds of first error.

``format``: no strategy, a word that is not a node, or no answer; ``start``: the strategy begins at another node;
``edge``: a step that follows no edge in the strategy's direction; ``missing``: the walk ends before the path does;
``arm``: a correct walk along another arm; ``answer``: the right path, but not its node next to the hub as the answer.
"""


def _read(completion: str) -> tuple[int, list[str], int | None]:
    """Return the number of words before the first step of a response, the words of its walk, and its answer."""
    words, answer = completion.split(), answer_of(completion)
    named = int(bool(words) and words[0] in STRATEGIES)
    walk = words[named : None if answer is None else -2]
    guessed = walk[1:2] == ["guess"]
    if guessed:
        del walk[1]
    return named + 1 + guessed, walk, answer


def _first_error(problem: Problem, strategy: str, walk: list, follows: list[bool], answer: int) -> tuple[str, int]:
    path = problem.path if strategy == "forward" else problem.path[::-1]
    if walk[0] != path[0]:
        return "start", -1
    if False in follows:
        return "edge", follows.index(False)
    if problem.next_nodes(walk[-1], strategy):
        return "missing", len(follows)
    if walk != path:
        return "arm", 0
    return ("none", -1) if answer == problem.answer else ("answer", -1)


class PathStarLabels(LabelsAspect):
    """Labels of path-stars."""

    label_strategies = (*STRATEGIES, "other")
    first_errors = FIRST_ERRORS

    def label(self, settings: Settings, problem: Problem, completion: str) -> dict:
        """Label any text by its walk, whichever strategy it names.

        If the path has n steps, more than half of them must follow edges in a strategy's direction within the first n
        steps of the walk. The walk is then compared with that strategy step by step.
        """
        _, words, answer = _read(completion)
        names = {f"e{node}": node for node in range(settings.n_nodes)}
        walk = [names.get(word) for word in words]
        steps = list(pairwise(walk))
        edges = set(problem.edges)
        follows = {"forward": [step in edges for step in steps], "backward": [step[::-1] in edges for step in steps]}
        strategy = next((s for s in STRATEGIES if 2 * sum(follows[s][: problem.n_steps]) > problem.n_steps), "other")
        error, at = "format", -1
        if strategy != "other" and None not in walk and answer is not None:
            error, at = _first_error(problem, strategy, walk, follows[strategy], answer)
        return {
            "strategy": strategy,
            "step_right": follows.get(strategy, [False] * len(steps)),
            "first_error": error,
            "first_error_step": at,
            "answer": answer,
            "correct": answer == problem.answer,
        }

    def mark_steps(self, row) -> tuple[int, list[StepMark]]:
        marks = [StepMark(1, "right" if follows else "wrong step") for follows in row.step_right]
        return _read(row.completion)[0] if marks else 0, marks
