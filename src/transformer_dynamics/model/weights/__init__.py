"""Weights of models: reading, conversion, and initialization of untrained twins."""
