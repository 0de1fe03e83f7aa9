"""Dynamics of the population of units over depth."""

from transformer_dynamics.population.autoencoder import autoencoder
from transformer_dynamics.population.autoencoder_network import Autoencoder, load_autoencoder
from transformer_dynamics.population.autoencoder_training import (
    AutoencoderOptions,
    TrainingStates,
    train_autoencoder,
)
from transformer_dynamics.population.communities import communities
from transformer_dynamics.population.comparison import compare
from transformer_dynamics.population.dimension import (
    corrected_participation_ratio,
    dimension,
    participation_ratio,
)
from transformer_dynamics.population.dynamical_similarity import dsa
from transformer_dynamics.population.geometry import geometry
from transformer_dynamics.population.held_out import held_out_pca, held_out_squares
from transformer_dynamics.population.jpca import jpca
from transformer_dynamics.population.kinematics import kinematics
from transformer_dynamics.population.linear import linear
from transformer_dynamics.population.massive import massive
from transformer_dynamics.population.neighbours import decimated_two_nn, two_nn
from transformer_dynamics.population.pca import pca, pca_per_site
from transformer_dynamics.population.rotate_and_stretch import rotate_and_stretch
from transformer_dynamics.population.rotation import rotation
from transformer_dynamics.population.similarity import cka, procrustes_distance, similarity
from transformer_dynamics.population.splits import split_texts
from transformer_dynamics.population.standardisation import standardised
from transformer_dynamics.population.tangling import tangling

__all__ = [
    "Autoencoder",
    "AutoencoderOptions",
    "TrainingStates",
    "autoencoder",
    "cka",
    "communities",
    "compare",
    "corrected_participation_ratio",
    "decimated_two_nn",
    "dimension",
    "dsa",
    "geometry",
    "held_out_pca",
    "held_out_squares",
    "jpca",
    "kinematics",
    "linear",
    "load_autoencoder",
    "massive",
    "participation_ratio",
    "pca",
    "pca_per_site",
    "procrustes_distance",
    "rotate_and_stretch",
    "rotation",
    "similarity",
    "split_texts",
    "standardised",
    "tangling",
    "train_autoencoder",
    "two_nn",
]
