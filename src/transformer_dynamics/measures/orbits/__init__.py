"""Traces of units in the phase plane, and tests for unstable periodic orbits."""

from transformer_dynamics.measures.orbits.periodic_orbits import periodic_orbits
from transformer_dynamics.measures.orbits.phase_plane import phase_portrait, rotation_counts
from transformer_dynamics.measures.orbits.rotation import rotation_count

__all__ = ["periodic_orbits", "phase_portrait", "rotation_count", "rotation_counts"]
