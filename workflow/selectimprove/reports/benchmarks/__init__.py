"""Benchmarks: what training and sampling cost on a machine, and what this workflow adds to it. They are no tests."""
