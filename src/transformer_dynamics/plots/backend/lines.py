"""Lines over one axis, with optional bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from transformer_dynamics.plots.backend.style import (
    MATPLOTLIB_DASHES,
    Labeled,
    Numbers,
    Role,
    escape,
    new_axes,
    styles,
    transparent,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        name: name in the legend.
        x: positions on the axis, `(point,)`.
        y: values, `(point,)`.
        low: lower edge of the band, `(point,)`.
        high: upper edge of the band, `(point,)`.
        labels: name of each point, `(point,)`.
        role: model, detail of the model, null model, or fixed reference.
        markers: whether to draw points instead of a line.
        hidden: whether the interactive figure shows it only on a click in the legend; matplotlib
            leaves it out.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    labels: Sequence[str] = ()
    role: Role = "model"
    markers: bool = False
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Lines(Labeled):
    """Lines over a common axis, each with an optional band."""

    series: Sequence[Series]
    y_scale: Literal["linear", "log"] = "linear"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        from matplotlib.ticker import MaxNLocator

        axes = new_axes(ax, self)
        for line, (color, dash) in zip(self.series, styles(self.series), strict=True):
            if line.hidden:
                continue
            (drawn,) = axes.plot(line.x, line.y, color=color, label=line.name, markersize=4)
            drawn.set_linestyle("" if line.markers else MATPLOTLIB_DASHES[dash])
            drawn.set_marker("o" if line.markers else "")
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.2, linewidth=0)
        if all(np.all(line.x == np.round(line.x)) for line in self.series):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_yscale(self.y_scale)
        axes.legend(fontsize="small")
        return axes

    def traces(self) -> list[dict[str, Any]]:
        """Bands and lines of the plotly figure."""
        traces: list[dict[str, Any]] = []
        for line, (color, dash) in zip(self.series, styles(self.series), strict=True):
            common = {
                "type": "scatter",
                "legendgroup": line.name,
                "visible": "legendonly" if line.hidden else True,
                "meta": {"role": line.role, "part": "line"},
            }
            if line.low is not None and line.high is not None:
                outline_x, outline_y = _outline(line.x, line.low, line.high)
                band = {
                    "x": outline_x,
                    "y": outline_y,
                    "mode": "lines",
                    "fill": "toself",
                    "fillcolor": transparent(color),
                    "line": {"width": 0},
                    "showlegend": False,
                    "hoverinfo": "skip",
                    "meta": {"role": line.role, "part": "band"},
                }
                traces.append(common | band)
            drawn = {
                "x": line.x,
                "y": line.y,
                "name": escape(line.name),
                "text": [escape(label) for label in line.labels] or None,
                "mode": "markers" if line.markers else "lines",
                "line": {"color": color, "dash": dash, "width": 2},
                "marker": {"color": color, "size": 6},
            }
            traces.append(common | drawn)
        return traces

    def layout(self) -> dict[str, Any]:
        """Scale of the second axis."""
        return {"yaxis": {"type": self.y_scale}}


def _outline(x: Numbers, low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """Outlines of a band, one for each run of defined points, with NaN between them.

    Each goes along its upper edge and back along its lower one.
    """
    is_defined = np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_defined, [False]])))
    parts_x: list[Any] = []
    parts_y: list[Any] = []
    for start, end in edges.reshape(-1, 2):
        run = slice(start, end)
        parts_x += [x[run], x[run][::-1], [np.nan]]
        parts_y += [high[run], low[run][::-1], [np.nan]]
    if not parts_x:
        return np.empty(0), np.empty(0)
    return np.concatenate(parts_x[:-1]), np.concatenate(parts_y[:-1])
