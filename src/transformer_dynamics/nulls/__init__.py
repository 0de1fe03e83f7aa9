"""Nulls: functions from a recording to one of the same shape; systems with known answers.

Those of `flows` are drawn from a flow map, from Jacobians or from a layer's updates instead.
"""

from transformer_dynamics import synthetic
from transformer_dynamics.nulls.autoregressive import autoregressive_increments
from transformer_dynamics.nulls.covariance_matched import covariance_matched
from transformer_dynamics.nulls.flow_maps import (
    moved_displacement,
    random_updates,
    spectrum_matched_updates,
    turned_updates,
    zero_update,
)
from transformer_dynamics.nulls.independent_units import independent_units
from transformer_dynamics.nulls.layer_surrogates import permuted_layers, sign_flipped_layers
from transformer_dynamics.nulls.reruns import shuffled_tokens, untrained, untrained_twins
from transformer_dynamics.nulls.surrogates import (
    permuted_depth,
    permuted_increments,
    permuted_samples,
    permuted_units,
    phase_randomized_increments,
    random_basis,
    random_walk,
    sign_flipped_increments,
)
from transformer_dynamics.synthetic import rotate_and_stretch_law as stochastic_law

__all__ = [
    "autoregressive_increments",
    "covariance_matched",
    "independent_units",
    "moved_displacement",
    "permuted_depth",
    "permuted_increments",
    "permuted_layers",
    "permuted_samples",
    "permuted_units",
    "phase_randomized_increments",
    "random_basis",
    "random_updates",
    "random_walk",
    "shuffled_tokens",
    "sign_flipped_increments",
    "sign_flipped_layers",
    "spectrum_matched_updates",
    "stochastic_law",
    "synthetic",
    "turned_updates",
    "untrained",
    "untrained_twins",
    "zero_update",
]
