"""Recordings of the residual stream: the type, how they are made, and how they lie on disk."""

from transformer_dynamics.recording.recording import Recording, open_recording

__all__ = ["Recording", "open_recording"]
