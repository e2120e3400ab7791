"""The type of `alarms` in ``params.yaml``: from where on a training has gone wrong."""

from selectimprove.types import Positive, Rate, Share, Strict


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
