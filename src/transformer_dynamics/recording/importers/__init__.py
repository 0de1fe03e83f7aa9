"""States that other tools captured, as recordings."""

from transformer_dynamics.recording.importers.activations import from_captured

__all__ = ["from_captured"]
