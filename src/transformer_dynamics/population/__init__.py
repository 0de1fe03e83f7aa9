"""What the population of units does over depth."""

from transformer_dynamics.population.geometry import geometry
from transformer_dynamics.population.kinematics import kinematics
from transformer_dynamics.population.pca import pca, pca_per_site

__all__ = ["geometry", "kinematics", "pca", "pca_per_site"]
