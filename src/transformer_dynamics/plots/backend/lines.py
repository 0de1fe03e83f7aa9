"""Drawings over one axis: lines with bands, histograms, values with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from transformer_dynamics.plots.backend.style import (
    MATPLOTLIB_DASHES,
    Labeled,
    Numbers,
    Role,
    escape,
    new_axes,
    new_figure,
    styles,
    transparent,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        name: its name in the legend.
        x: positions on the axis of depth, shape `(point,)`.
        y: values, shape `(point,)`.
        low: lower edge of the band, shape `(point,)`.
        high: upper edge of the band, shape `(point,)`.
        labels: what each point is called, shape `(point,)`.
        role: whether it is the model, a detail of it, a null, or a fixed reference.
        markers: whether to draw points instead of a line.
        hidden: whether it waits in the legend of the screen's figure, and is left out on paper.
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
        axes = new_axes(ax, self)
        for line, (color, dash) in zip(self.series, styles(self.series), strict=True):
            if line.hidden:
                continue
            (drawn,) = axes.plot(line.x, line.y, color=color, label=line.name, markersize=4)
            drawn.set_linestyle("" if line.markers else MATPLOTLIB_DASHES[dash])
            drawn.set_marker("o" if line.markers else "")
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.2, linewidth=0)
        axes.set_yscale(self.y_scale)
        axes.legend(fontsize="small")
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        for line, (color, dash) in zip(self.series, styles(self.series), strict=True):
            visible = "legendonly" if line.hidden else True
            if line.low is not None and line.high is not None:
                figure.add_trace(
                    go.Scatter(
                        x=np.concatenate([line.x, line.x[::-1]]),
                        y=np.concatenate([line.high, line.low[::-1]]),
                        fill="toself",
                        fillcolor=transparent(color),
                        line={"width": 0},
                        legendgroup=line.name,
                        showlegend=False,
                        hoverinfo="skip",
                        visible=visible,
                    )
                )
            figure.add_trace(
                go.Scatter(
                    x=line.x,
                    y=line.y,
                    name=line.name,
                    legendgroup=line.name,
                    visible=visible,
                    text=[escape(label) for label in line.labels] or None,
                    mode="markers" if line.markers else "lines",
                    line={"color": color, "dash": dash, "width": 2},
                    marker={"color": color, "size": 6},
                )
            )
        figure.update_yaxes(type=self.y_scale)
        return figure


@dataclass(frozen=True, kw_only=True)
class Group:
    """One distribution of a histogram: `values` of shape `(value,)`; `hidden` as in `Series`."""

    name: str
    values: Numbers
    role: Role = "model"
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Histogram(Labeled):
    """Distributions over common bins, as the share of each that falls in a bin."""

    groups: Sequence[Group]
    n_bins: int = 40
    y_label: str = "share of values per bin (1)"

    def _shares(self) -> tuple[Numbers, list[Numbers]]:
        finite = [group.values[np.isfinite(group.values)] for group in self.groups]
        everything = np.concatenate(finite) if finite else np.empty(0)
        span = (everything.min(), everything.max()) if everything.size else (0.0, 1.0)
        edges = np.linspace(span[0], span[1] if span[1] > span[0] else span[0] + 1, self.n_bins + 1)
        counts = [np.histogram(values, edges)[0] for values in finite]
        return edges, [count / max(1, count.sum()) for count in counts]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = new_axes(ax, self)
        edges, shares = self._shares()
        for group, share, (color, dash) in zip(
            self.groups, shares, styles(self.groups), strict=True
        ):
            if group.hidden:
                continue
            axes.stairs(
                share,
                edges,
                color=color,
                label=group.name,
                fill=group.role == "model",
                alpha=0.5 if group.role == "model" else 1.0,
                linestyle=MATPLOTLIB_DASHES[dash],
            )
        axes.legend(fontsize="small")
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        edges, shares = self._shares()
        for group, share, (color, dash) in zip(
            self.groups, shares, styles(self.groups), strict=True
        ):
            figure.add_trace(
                go.Scatter(
                    x=np.repeat(edges, 2),
                    y=np.concatenate([[0.0], np.repeat(share, 2), [0.0]]),
                    name=group.name,
                    visible="legendonly" if group.hidden else True,
                    mode="lines",
                    fill="tozeroy" if group.role == "model" else None,
                    line={"color": color, "dash": dash, "width": 2},
                )
            )
        return figure


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
    """Values with their intervals, one below the other, over a common axis."""

    intervals: Sequence[Interval]
    y_label: str = ""

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = new_axes(ax, self)
        for place, (row, (color, _)) in enumerate(
            zip(self.intervals, styles(self.intervals), strict=True)
        ):
            axes.plot([row.low, row.high], [place, place], color=color, linewidth=2)
            axes.plot([row.value], [place], color=color, marker="o")
        axes.set_yticks(range(len(self.intervals)), [row.name for row in self.intervals])
        axes.invert_yaxis()
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        for row, (color, _) in zip(self.intervals, styles(self.intervals), strict=True):
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
