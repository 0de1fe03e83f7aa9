"""Recordings of the residual stream: the type, how they are made, and how they lie on disk."""

from transformer_dynamics.recording.disk.opening import open_recording
from transformer_dynamics.recording.recording import Recording

__all__ = ["Recording", "open_recording"]
