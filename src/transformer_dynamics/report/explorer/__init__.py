"""Data of the view Explore, linked views of one text, site and unit, and its figures in Python."""

from transformer_dynamics.report.explorer.exploration import Exploration
from transformer_dynamics.report.explorer.islands import Explorer

__all__ = ["Exploration", "Explorer"]
