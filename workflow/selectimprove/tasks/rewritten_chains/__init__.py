"""Chains asked or answered otherwise: controls of what the findings on chains owe to how chains are written.

Content, splits, labels and arithmetic are those of `selectimprove.tasks.chains`, and a seed draws the same chains.
"""
