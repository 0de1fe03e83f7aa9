"""Values with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer_dynamics.plots.backend.style import (
    Labeled,
    Role,
    new_axes,
    new_figure,
    styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its interval."""

    name: str
    value: float
    low: float
    high: float
    role: Role = "model"


@dataclass(frozen=True, kw_only=True)
class Intervals(Labeled):
    """Values with their intervals over a common axis, one below the other, colored by role."""

    intervals: Sequence[Interval]
    y_label: str = ""

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = new_axes(ax, self)
        for index, row in enumerate(self.intervals):
            ((color, _),) = styles([row])
            axes.plot([row.low, row.high], [index, index], color=color, linewidth=2)
            axes.plot([row.value], [index], color=color, marker="o")
        axes.set_yticks(range(len(self.intervals)), [row.name for row in self.intervals])
        axes.invert_yaxis()
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        for row in self.intervals:
            ((color, _),) = styles([row])
            figure.add_trace(
                go.Scatter(
                    x=[row.value],
                    y=[row.name],
                    name=row.name,
                    mode="markers",
                    marker={"color": color, "size": 10},
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": [row.high - row.value],
                        "arrayminus": [row.value - row.low],
                        "color": color,
                        "thickness": 2,
                    },
                    showlegend=False,
                )
            )
        figure.update_yaxes(autorange="reversed", automargin=True)
        figure.update_layout(height=150 + 34 * len(self.intervals))
        return figure
