"""Null models: functions from a recording to one of the same shape.

Some are drawn from a flow map, from the Jacobians of its steps or from a layer's updates instead.
"""

from transformer_dynamics import synthetic
from transformer_dynamics.nulls.autoregressive import autoregressive_increments
from transformer_dynamics.nulls.covariance_matched import covariance_matched
from transformer_dynamics.nulls.flow_maps import (
    random_updates,
    spectrum_matched_updates,
    zero_update,
)
from transformer_dynamics.nulls.increment_surrogates import (
    permuted_increments,
    permuted_layers,
    sign_flipped_increments,
    sign_flipped_layers,
)
from transformer_dynamics.nulls.layer_updates import moved_displacement, turned_updates
from transformer_dynamics.nulls.phase_surrogates import phase_randomized_increments
from transformer_dynamics.nulls.random_walk import random_walk
from transformer_dynamics.nulls.reruns import shuffled_tokens, untrained, untrained_twins
from transformer_dynamics.nulls.state_surrogates import (
    independent_units,
    permuted_depth,
    permuted_samples,
    permuted_units,
    random_basis,
)

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
    "synthetic",
    "turned_updates",
    "untrained",
    "untrained_twins",
    "zero_update",
]
