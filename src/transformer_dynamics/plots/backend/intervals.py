"""Values with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_dynamics.plots.backend.style import (
    Labeled,
    Role,
    escape,
    new_axes,
    styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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

    def traces(self) -> list[dict[str, Any]]:
        """Values of the plotly figure with their intervals."""
        traces = []
        for row in self.intervals:
            ((color, _),) = styles([row])
            interval = {
                "type": "data",
                "symmetric": False,
                "array": np.array([row.high - row.value]),
                "arrayminus": np.array([row.value - row.low]),
                "color": color,
                "thickness": 2,
            }
            traces.append(
                {
                    "type": "scatter",
                    "x": np.array([row.value]),
                    "y": [escape(row.name)],
                    "name": escape(row.name),
                    "mode": "markers",
                    "marker": {"color": color, "size": 10},
                    "error_x": interval,
                    "showlegend": False,
                    "meta": {"role": row.role, "part": "interval"},
                }
            )
        return traces

    def layout(self) -> dict[str, Any]:
        """Order and height of the rows."""
        rows = {"autorange": "reversed", "automargin": True}
        return {"yaxis": rows, "height": 150 + 34 * len(self.intervals)}
