"""Figures of results, one module per family of measures; each registers itself by name."""
