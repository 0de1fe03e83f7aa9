"""Panels of the figures of arXiv 2502.12131, by subject."""
