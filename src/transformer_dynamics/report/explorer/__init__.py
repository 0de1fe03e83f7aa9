"""Data of the view Explore: linked views of one selection of text, site and unit."""

from transformer_dynamics.report.explorer.islands import Explorer

__all__ = ["Explorer"]
