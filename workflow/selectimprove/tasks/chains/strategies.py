"""The forward and the backward response to a problem.

*Forward* carries a value through the chain in order; *backward* undoes the chain from its end with inverse operations.
Forward suits evaluation, backward suits inversion. An unsuited response first commits to a guess of the hidden value,
carries it through the whole chain to check it, and answers the guess (our reconstruction: it explains the paper's score
of about 1/p in every unsuited cell of Table 1). In SFT data the guess is right, as a demonstration's is::

    start e3 s7 +e5 s8 *e2 end ? find-end
    forward e3 s7 +e5 e8 s8 *e2 e4 answer e4
    backward guess e4 s8 /e2 e8 s7 -e5 e3 answer e4
"""

from selectimprove.tasks.chains.problems import SUITED, Problem
from selectimprove.tasks.field import INVERSE, FiniteField


def steps_of(problem: Problem, strategy: str) -> list[tuple[str, str, int]]:
    """List the steps that a strategy takes, as (label, operation, operand).

    Parameters
    ----------
    problem : Problem
    strategy : {'forward', 'backward'}

    Returns
    -------
    list of (str, str, int)
        In the order in which the strategy takes them.
    """
    steps = list(zip(problem.labels, problem.operations, problem.operands, strict=True))
    if strategy == "forward":
        return steps
    return [(label, INVERSE[operation], operand) for label, operation, operand in reversed(steps)]


def trace_text(field: FiniteField, problem: Problem, strategy: str, value: int) -> str:
    """Write the working of a strategy from a first value, ``e3 s7 +e5 e8 s8 *e2 e4``."""
    words = [f"e{value}"]
    for label, operation, operand in steps_of(problem, strategy):
        value = field.apply(operation, value, operand)
        words += [label, f"{operation}e{operand}", f"e{value}"]
    return " ".join(words)


def respond(field: FiniteField, problem: Problem, strategy: str) -> str:
    """Write the correct response to a problem in a strategy.

    Parameters
    ----------
    field : FiniteField
    problem : Problem
    strategy : {'forward', 'backward'}

    Returns
    -------
    str
    """
    guess = "" if strategy == SUITED[problem.problem_type] else "guess "
    first_value = problem.start if strategy == "forward" else problem.end
    return f"{strategy} {guess}{trace_text(field, problem, strategy, first_value)} answer e{problem.answer}"
