"""Nulls: functions from a recording to one of the same shape; systems with known answers."""

from transformer_dynamics.nulls import synthetic
from transformer_dynamics.nulls.surrogates import (
    permuted_depth,
    permuted_increments,
    permuted_samples,
    permuted_units,
    phase_randomised_increments,
    random_basis,
    random_walk,
    sign_flipped_increments,
)
from transformer_dynamics.nulls.untrained import shuffled_tokens, untrained

__all__ = [
    "permuted_depth",
    "permuted_increments",
    "permuted_samples",
    "permuted_units",
    "phase_randomised_increments",
    "random_basis",
    "random_walk",
    "shuffled_tokens",
    "sign_flipped_increments",
    "synthetic",
    "untrained",
]
