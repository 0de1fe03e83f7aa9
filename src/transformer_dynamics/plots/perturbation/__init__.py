"""Figures of perturbations, with the model and its null models in the same axes."""
