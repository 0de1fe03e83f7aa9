"""Nulls: functions from a recording to one of the same shape; systems with known answers.

Those of `flows` are drawn from a flow map, from Jacobians or from a layer's updates instead.
"""

from transformer_dynamics.nulls import stochastic_law, synthetic
from transformer_dynamics.nulls.covariance_matched import covariance_matched
from transformer_dynamics.nulls.flows import random_updates, turned_updates, zero_update
from transformer_dynamics.nulls.independent_units import independent_units
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
    "covariance_matched",
    "independent_units",
    "permuted_depth",
    "permuted_increments",
    "permuted_samples",
    "permuted_units",
    "phase_randomised_increments",
    "random_basis",
    "random_updates",
    "random_walk",
    "shuffled_tokens",
    "sign_flipped_increments",
    "stochastic_law",
    "synthetic",
    "turned_updates",
    "untrained",
    "zero_update",
]
