"""Fields of arrows in a plane, ordered along a slider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_dynamics.plots.backend.style import (
    MODEL_COLORS,
    Labeled,
    Numbers,
    escape,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Field(Labeled):
    """Arrows in a plane, one field after another along a slider.

    Attributes:
        slider_label: quantity that orders the fields.
        labels: name of each field, `(field)`.
        points: starts of the arrows, `(field, point, axis)`.
        arrows: displacements, `(field, point, axis)`, in the units of the axes.
    """

    slider_label: str
    labels: Sequence[str]
    points: Numbers
    arrows: Numbers

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the field in the middle of the slider on matplotlib axes."""
        axes = new_axes(ax, self)
        shown, color = len(self.labels) // 2, MODEL_COLORS[0]
        axes.set_title(f"{self.title}: {self.labels[shown]}")
        start, arrow = self.points[shown].T, self.arrows[shown].T
        axes.quiver(*start, *arrow, color=color, angles="xy", scale_units="xy", scale=1.0)
        axes.plot(*(start + arrow), linestyle="", marker=".", color=color, markersize=2)
        return axes

    def traces(self) -> list[dict[str, Any]]:
        """Arrows of the plotly figure, one trace per field; a dot marks each arrow's end."""
        shown = len(self.labels) // 2
        return [self._trace(index, visible=index == shown) for index in range(len(self.labels))]

    def layout(self) -> dict[str, Any]:
        """Slider over the fields."""
        indices = range(len(self.labels))
        steps = [
            {
                "label": escape(label),
                "method": "update",
                "args": [{"visible": [other == index for other in indices]}],
            }
            for index, label in enumerate(self.labels)
        ]
        slider = {
            "active": len(self.labels) // 2,
            "steps": steps,
            "currentvalue": {"prefix": f"{self.slider_label}: "},
            "pad": {"t": 50},
        }
        return {"sliders": [slider], "height": 600}

    def _trace(self, index: int, *, visible: bool) -> dict[str, Any]:
        """The arrows of one field as one plotly line, interrupted by NaN."""
        start, end = self.points[index], self.points[index] + self.arrows[index]
        gap = np.full_like(start, np.nan)
        x, y = np.stack([start, end, gap], axis=1).reshape(-1, 2).T
        return {
            "type": "scatter",
            "x": x,
            "y": y,
            "mode": "lines+markers",
            "line": {"color": MODEL_COLORS[0], "width": 1.5},
            "marker": {"color": MODEL_COLORS[0], "size": [0, 5, 0] * len(start)},
            "visible": visible,
            "showlegend": False,
        }
