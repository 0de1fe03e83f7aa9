"""Similarity of the states of two sites, and of two recordings."""

from transformer_dynamics.measures.similarity.between_recordings import between_recordings
from transformer_dynamics.measures.similarity.between_sites import between_sites
from transformer_dynamics.measures.similarity.dsa import dsa
from transformer_dynamics.measures.similarity.two_sets import cka, procrustes_distance

__all__ = ["between_recordings", "between_sites", "cka", "dsa", "procrustes_distance"]
