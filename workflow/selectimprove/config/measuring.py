"""The types of what follows models in ``params.yaml``: intervals, from where on a training has gone wrong, and spot checks."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from selectimprove.types import DISTINCT, LARGEST_SEED, NUMBER, Names, Positive, Rate, Share, Strict


class Statistics(Strict):
    """Intervals."""

    confidence: Annotated[float, Field(gt=0, lt=1), NUMBER]
    """Confidence of every interval."""
    n_bootstrap: Annotated[int, Field(ge=2)]
    """Resamples of problems, for intervals."""


class Alarms(Strict):
    """Bounds of what trainers log; a training that passes one for long is named in the log and under what shows it."""

    stretch: Positive
    """Logged steps in a row that have to be past a bound; a single one often is."""
    loss_rise: Rate
    """Rise of the loss above its first logged value."""
    grad_norm: Rate
    """Norm of the gradient, before it is clipped."""
    kl: Rate
    """KL divergence from the policy before RL, in nats per token."""
    cut_off: Share
    """Share of the completions that the limit of length ended."""


def _countable(value):
    if value != "all" and (type(value) is not int or value < 0):
        raise ValueError(f"input should be a number of artifacts or all, not {value!r}")
    return value


class Verify(Strict):
    """What ``snakemake verify`` looks at, and what it makes again with models. No result depends on it."""

    spot: Annotated[int | Literal["all"], BeforeValidator(_countable)] = 0
    """How many artifacts that a model made are drawn and made again; ``all``: every one."""
    spot_seed: Annotated[int, Field(ge=0, le=LARGEST_SEED, strict=True)] | None = None
    """Random seed of the draw; null: another each time, which is printed."""
    stages: Annotated[list[Literal["base", "sft", "rl", "rft", "evaluation"]], Field(min_length=1), DISTINCT] = [
        "base",
        "sft",
        "rl",
        "rft",
        "evaluation",
    ]
    """Stages whose artifacts are drawn."""
    only: Names = []
    """Figures, tables or experiments; only what stands behind them is verified, and drawn from. Empty: all."""
    checkpoints: Literal["all", "last"] = "all"
    """Whose generations of an evaluation are made again: those of every checkpoint, or of the ``last`` alone, in less than half the time."""
