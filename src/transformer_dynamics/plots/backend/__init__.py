"""A figure described once and drawn twice: with matplotlib for paper, with plotly for the screen.

A measure or a claim describes its figure as one of the drawings below and names no library. Every
drawing has `plot(ax=None) -> Axes` and `figure() -> plotly Figure`; `specification()` is the plotly
figure as a dictionary that is not validated. An axis label carries its unit. The role of a series
sets its color, so the model and its null models look the same on every figure.
"""

from transformer_dynamics.plots.backend.default import default_drawings, variable_drawing
from transformer_dynamics.plots.backend.fields import Field
from transformer_dynamics.plots.backend.heatmaps import Heatmap, shown_note, shown_rows
from transformer_dynamics.plots.backend.histograms import Group, Histogram
from transformer_dynamics.plots.backend.intervals import Interval, Intervals
from transformer_dynamics.plots.backend.lines import Lines, Series
from transformer_dynamics.plots.backend.paths import Path, Paths
from transformer_dynamics.plots.backend.style import Drawing, Role

__all__ = [
    "Drawing",
    "Field",
    "Group",
    "Heatmap",
    "Histogram",
    "Interval",
    "Intervals",
    "Lines",
    "Path",
    "Paths",
    "Role",
    "Series",
    "default_drawings",
    "shown_note",
    "shown_rows",
    "variable_drawing",
]
