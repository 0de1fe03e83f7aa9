"""Figures of the geometry of paths."""
