"""Traces of units in the phase plane, and tests for unstable periodic orbits."""

from transformer_dynamics.measures.orbits.periodic_orbits import periodic_orbits
from transformer_dynamics.measures.orbits.phase_plane import (
    phase_portrait,
    rotation_count,
    rotation_counts,
)

__all__ = ["periodic_orbits", "phase_portrait", "rotation_count", "rotation_counts"]
