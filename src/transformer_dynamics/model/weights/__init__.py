"""Weights of models: read, converted, drawn anew for untrained twins."""
