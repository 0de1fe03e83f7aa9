"""Comparison of two or more runs: claims, profiles over relative depth, similarity of sites."""

from transformer_dynamics.comparison.compared import RunsCompared, compare_runs

__all__ = ["RunsCompared", "compare_runs"]
