"""Paths of the residual stream over depth or along tokens: speed, direction, length, turning."""

from transformer_dynamics.measures.paths.geometry import path_geometry
from transformer_dynamics.measures.paths.kinematics import kinematics

__all__ = ["kinematics", "path_geometry"]
