"""Dynamics of single units, the coordinates of the residual stream, over depth."""

from transformer_dynamics.units.continuity import correlation, correlation_by_lag, correlation_pairs
from transformer_dynamics.units.density import density
from transformer_dynamics.units.information import mutual_information
from transformer_dynamics.units.orbits import phase_portrait, rotation_count, rotations
from transformer_dynamics.units.periodic_orbits import periodic_orbits

__all__ = [
    "correlation",
    "correlation_by_lag",
    "correlation_pairs",
    "density",
    "mutual_information",
    "periodic_orbits",
    "phase_portrait",
    "rotation_count",
    "rotations",
]
