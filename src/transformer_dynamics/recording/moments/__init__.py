"""Moments of a recording: sums that replace states which are too many to store."""

from transformer_dynamics.recording.moments.moments import Moments, open_moments

__all__ = ["Moments", "open_moments"]
