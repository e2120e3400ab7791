"""The tests of a claim for people: the comparison in words, and a plot of the interval beside the claimed range."""

import math

from selectimprove.analysis.claims import ClaimTest, Quantity
from selectimprove.analysis.style import training_name

VALUES = {
    "pass_at_1": "pass@1",
    "other": "share of neither strategy",
    "rollouts_excess": "share of the strategy that suits the first problem type, less that type's share, last rollouts",
    "cross_entropy": "logarithm of the cross-entropy on validation problems",
}
WIDTH, MARGIN = 320, 12
"""Width of a plot, and its margin on each side for the outermost tick labels, in the units of the plot."""


def name_model(quantity: Quantity) -> str:
    """Name the model of a quantity, such as ``FB after RL(6–9)``."""
    variant = "" if quantity.variant == "default" else f" ({quantity.variant})"
    return f"{quantity.sft} after {training_name(quantity.training)}{variant}"


def _measured(quantity: Quantity) -> str:
    value = VALUES.get(quantity.value, quantity.value if quantity.is_mechanism else f"share of {quantity.value}")
    if quantity.value in ("rollouts_excess", "cross_entropy"):
        return value
    if where := quantity.describe_where():
        return f"{value} on {where}"
    problem_type = "" if quantity.problem_type == "all" else f"{quantity.problem_type}, "
    return f"{value} on {problem_type}{quantity.problem_set.replace('-', '–')} steps"


def describe_test(test: ClaimTest) -> str:
    """Describe the comparison of a test, such as ``pass@1 on 6–9 steps: FB after RL(6–9) minus 85 %``."""
    left, right = f"{_measured(test.of)}: {name_model(test.of)}", test.less
    if not isinstance(right, Quantity):
        return f"{left} minus {100 * right:g} %" if right else left
    other = (
        name_model(right) if _measured(right) == _measured(test.of) else f"{_measured(right)} of {name_model(right)}"
    )
    return f"{left} minus {other}"


def claimed_range(test: ClaimTest) -> tuple[float, float]:
    """Return the claimed range of the difference, in percentage points; a missing bound is infinite."""
    if test.above is not None:
        return 100 * test.above, math.inf
    if test.below is not None:
        return -math.inf, 100 * test.below
    return -100 * test.within, 100 * test.within


def describe_range(low: float, high: float) -> str:
    """Describe a claimed range: ``above +20``, ``below +5``, ``within ±5``."""
    if math.isinf(high):
        return f"above {low:+g}" if low else "above 0"
    return f"below {high:+g}" if math.isinf(low) else f"within ±{high:g}"


def choose_ticks(low: float, high: float) -> list[float]:
    """Choose up to eight round numbers that span a range and include zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (high - low) / s <= 6 or s == 50)
    return [step * number for number in range(math.floor(low / step), max(math.ceil(high / step), 1) + 1)]


def show_tests(tests: list[ClaimTest], outcomes: list[dict]) -> list[dict]:
    """Describe and plot the tests of a claim, each with its row of ``tests.csv``, on one axis.

    ``found`` says whether the interval lies ``inside`` the claimed range, ``outside`` or ``across`` a bound. Positions
    (``ticks``, ``zero``, ``claimed``, ``bounds``, ``interval``) are in the units of the plot.
    """
    ranges = [claimed_range(test) for test in tests]
    bounds = [bound for limits in ranges for bound in limits if math.isfinite(bound)]
    ends = [100 * outcome[end] for outcome in outcomes for end in ("low", "effect", "high")]
    ends = [end for end in ends if math.isfinite(end)]
    # A part of the claimed range beyond its bound stays visible.
    beyond = 0.1 * (max(0.0, *bounds, *ends) - min(0.0, *bounds, *ends))
    ticks = choose_ticks(min([*ends, *(b - beyond for b in bounds)]), max([*ends, *(b + beyond for b in bounds)]))

    def place(value: float) -> float:
        share = (min(max(value, ticks[0]), ticks[-1]) - ticks[0]) / (ticks[-1] - ticks[0])
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    shown = []
    for test, claimed, outcome in zip(tests, ranges, outcomes, strict=True):
        effect, low, high = (100 * outcome[name] for name in ("effect", "low", "high"))
        bounded = math.isfinite(low)
        inside, outside = claimed[0] < low and high < claimed[1], high < claimed[0] or low > claimed[1]
        shown.append(
            {
                "compares": describe_test(test),
                "claimed_range": describe_range(*claimed),
                "effect": effect,
                "low": low,
                "high": high,
                "bounded": bounded,
                "found": "inside" if inside else "outside" if outside else "across",
                "ticks": [(place(tick), f"{tick:+g}" if tick else "0") for tick in ticks],
                "zero": place(0.0),
                "claimed": (place(claimed[0]), place(claimed[1])),
                "bounds": [place(bound) for bound in claimed if math.isfinite(bound)],
                "interval": tuple(map(place, (low, effect, high) if bounded else (effect, effect, effect))),
            }
        )
    return shown
