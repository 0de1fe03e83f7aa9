"""Massive activations, and how much of each result they carry."""

from transformer_dynamics.measures.massive.activations import activations
from transformer_dynamics.numerics.standardize import standardize

__all__ = ["activations", "standardize"]
