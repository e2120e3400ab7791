"""Artifacts: how a stage is run, what its result is named by, and what is recorded of how it came about."""
