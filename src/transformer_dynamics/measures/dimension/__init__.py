"""Dimension of the states: principal components, autoencoders, intrinsic dimension."""

from transformer_dynamics.measures.dimension.autoencoder import autoencoder
from transformer_dynamics.measures.dimension.autoencoder_network import (
    Autoencoder,
    load_autoencoder,
)
from transformer_dynamics.measures.dimension.autoencoder_training import (
    AutoencoderOptions,
    TrainingStates,
    train_autoencoder,
)
from transformer_dynamics.measures.dimension.held_out_pca import held_out_pca, held_out_squares
from transformer_dynamics.measures.dimension.intrinsic_dimension import (
    corrected_participation_ratio,
    intrinsic_dimension,
    participation_ratio,
)
from transformer_dynamics.measures.dimension.pca import pca, pca_per_site
from transformer_dynamics.measures.dimension.two_nn import decimated_two_nn, two_nn

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
