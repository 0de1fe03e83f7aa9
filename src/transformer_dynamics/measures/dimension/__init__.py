"""Dimension of the states: principal components, autoencoders, intrinsic dimension."""

from transformer_dynamics.measures.dimension.autoencoder import autoencoder
from transformer_dynamics.measures.dimension.autoencoder_network import (
    Autoencoder,
    load_autoencoder,
)
from transformer_dynamics.measures.dimension.autoencoder_options import (
    AutoencoderOptions,
    TrainingStates,
)
from transformer_dynamics.measures.dimension.autoencoder_training import train_autoencoder
from transformer_dynamics.measures.dimension.components.held_out_squares import held_out_squares
from transformer_dynamics.measures.dimension.held_out_pca import held_out_pca
from transformer_dynamics.measures.dimension.intrinsic_dimension import intrinsic_dimension
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.measures.dimension.pca_per_site import pca_per_site
from transformer_dynamics.measures.dimension.points import (
    corrected_participation_ratio,
    decimated_two_nn,
    participation_ratio,
    two_nn,
)

__all__ = [
    "Autoencoder",
    "AutoencoderOptions",
    "TrainingStates",
    "autoencoder",
    "corrected_participation_ratio",
    "decimated_two_nn",
    "held_out_pca",
    "held_out_squares",
    "intrinsic_dimension",
    "load_autoencoder",
    "participation_ratio",
    "pca",
    "pca_per_site",
    "train_autoencoder",
    "two_nn",
]
