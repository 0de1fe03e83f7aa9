"""A figure described once and drawn twice: matplotlib for paper, plotly for screen.

A measure or a claim says what is to be drawn (`Lines`, `Histogram`, `Heatmap`, `Paths`); it does
not say with what. Every drawing has `plot(ax=None) -> Axes` and `figure() -> plotly Figure`. An
axis label carries its unit. A series has a role, and the role gives it its color, so that the
model and its nulls look the same on every figure.
"""

from transformer_dynamics.plots.backend.default import default_drawings, variable_drawing
from transformer_dynamics.plots.backend.lines import (
    Group,
    Histogram,
    Interval,
    Intervals,
    Lines,
    Series,
)
from transformer_dynamics.plots.backend.maps import Field, Heatmap, Path, Paths
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
    "variable_drawing",
]
