"""Dimension of sets of points `(..., point, axis)`, and sets of points with a known dimension."""

from transformer_dynamics.measures.dimension.points.participation_ratio import (
    corrected_participation_ratio,
    participation_ratio,
)
from transformer_dynamics.measures.dimension.points.two_nn import decimated_two_nn, two_nn

__all__ = ["corrected_participation_ratio", "decimated_two_nn", "participation_ratio", "two_nn"]
