"""Chains with other questions or responses: controls that show how far the findings depend on how chains are written.

Content, splits, labels and arithmetic are those of `selectimprove.tasks.chains`, and a seed draws the same chains.
"""

from selectimprove.tasks.chains.labels import ChainLabels
from selectimprove.tasks.chains.settings import Demonstrations
from selectimprove.tasks.interface import Task
from selectimprove.tasks.rewritten_chains import rewriting


class RewrittenChains(rewriting.RewrittenTexts, ChainLabels, Task):
    """Chains whose question may come first, and whose responses may leave out the words that name a strategy."""

    Settings = rewriting.Settings
    Problems = rewriting.Problems
    Demonstrations = Demonstrations
    Documents = rewriting.Documents
