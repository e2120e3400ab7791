"""The types of what measures and verdicts take from ``params.yaml``: intervals, and from where on a training has gone wrong."""

from typing import Annotated

from pydantic import Field

from selectimprove.types import NUMBER, Positive, Rate, Share, Strict


class Statistics(Strict):
    """Intervals."""

    confidence: Annotated[float, Field(gt=0, lt=1), NUMBER]
    """Confidence of every interval."""
    n_bootstrap: Positive
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
