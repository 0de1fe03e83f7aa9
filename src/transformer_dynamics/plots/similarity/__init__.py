"""Figures of similarity between sites and between recordings."""
