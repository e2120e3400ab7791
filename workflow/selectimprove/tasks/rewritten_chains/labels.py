"""Strategy labels of rewritten chains: those of chains, which are judged from the steps taken and not from a word."""

from selectimprove.tasks.chains.labels import FIRST_ERRORS, STRATEGIES, label, mark_steps

__all__ = ["FIRST_ERRORS", "STRATEGIES", "label", "mark_steps"]
