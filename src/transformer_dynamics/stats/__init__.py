"""Intervals and p-values: bootstrap over texts, Monte Carlo p-values, Benjamini-Hochberg."""

from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights
from transformer_dynamics.stats.false_discovery import benjamini_hochberg
from transformer_dynamics.stats.significance import monte_carlo_p

__all__ = ["benjamini_hochberg", "monte_carlo_p", "percentile_interval", "text_weights"]
