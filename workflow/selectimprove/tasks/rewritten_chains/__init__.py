"""Chains asked or answered otherwise: controls of what the findings on chains owe to how chains are written.

Content, splits, labels and arithmetic are those of `selectimprove.tasks.chains`, and a seed draws the same chains.
"""

from selectimprove.tasks.chains import Chains
from selectimprove.tasks.rewritten_chains import settings
from selectimprove.tasks.rewritten_chains.demonstrations import RewrittenDemonstrations
from selectimprove.tasks.rewritten_chains.documents import RewrittenDocuments
from selectimprove.tasks.rewritten_chains.problems import RewrittenProblems


class RewrittenChains(RewrittenProblems, RewrittenDemonstrations, RewrittenDocuments, Chains):
    """Chains whose question may come first, and whose responses may leave out the words that name a strategy."""

    Settings = settings.Settings
    Problems = settings.Problems
    Demonstrations = settings.Demonstrations
    Documents = settings.Documents
