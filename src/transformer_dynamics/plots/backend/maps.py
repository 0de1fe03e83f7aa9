"""Drawings over two axes or three: matrices in color, paths in a plane or in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure


# Unlike any color of the scales, whose middle is nearly white.
NO_VALUE = "#BDBDBD"


@dataclass(frozen=True, kw_only=True)
class Heatmap(Labeled):
    """A matrix in color; `values` has shape `(y, x)`.

    A symmetric scale is centered on zero. The color scale ends at the 99th percentile of the
    magnitude, since a few massive activations would otherwise leave the rest one color; what lies
    beyond is drawn in the end color, and `color_label` should say so where it matters. `limit` is
    the end of a symmetric scale instead, the same for maps to be compared. NaN is grey.
    """

    color_label: str
    values: Numbers
    x_names: Sequence[str] = ()
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    symmetric: bool = True
    limit: float | None = None

    def _limits(self) -> tuple[float, float]:
        if self.symmetric and self.limit is not None:
            return -self.limit, self.limit
        finite = self.values[np.isfinite(self.values)]
        if not finite.size:
            return 0.0, 1.0
        if self.symmetric:
            end = float(np.percentile(np.abs(finite), 99)) or 1.0
            return -end, end
        return float(finite.min()), float(np.percentile(finite, 99.9))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = new_axes(ax, self)
        low, high = self._limits()
        colors = "RdBu_r" if self.symmetric else "viridis"
        image = axes.imshow(
            self.values, aspect="auto", cmap=colors, vmin=low, vmax=high, origin="lower"
        )
        if self.x_ticks:
            axes.set_xticks(*zip(*self.x_ticks, strict=True))
        if self.y_ticks:
            axes.set_yticks(*zip(*self.y_ticks, strict=True))
        axes.set_facecolor(NO_VALUE)
        axes.figure.colorbar(image, ax=axes, label=self.color_label)
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        low, high = self._limits()
        figure.add_trace(
            go.Heatmap(
                z=np.asarray(self.values, dtype=np.float32),
                text=None,
                x=[escape(name) for name in self.x_names] or None,
                zmin=low,
                zmax=high,
                colorscale="RdBu_r" if self.symmetric else "Viridis",
                colorbar={"title": {"text": self.color_label, "side": "right"}},
            )
        )
        figure.update_layout(plot_bgcolor=NO_VALUE)
        # Lines of the grid would cross what has no value.
        figure.update_xaxes(showgrid=False)
        figure.update_yaxes(showgrid=False)
        if self.x_ticks:
            places, names = zip(*self.x_ticks, strict=True)
            figure.update_xaxes(
                tickmode="array", tickvals=places, ticktext=list(map(escape, names))
            )
        if self.y_ticks:
            places, names = zip(*self.y_ticks, strict=True)
            figure.update_yaxes(
                tickmode="array", tickvals=places, ticktext=list(map(escape, names))
            )
        return figure


@dataclass(frozen=True, kw_only=True)
class Path:
    """One path; `points` has shape `(point, axis)` with two or three axes."""

    name: str
    points: Numbers
    labels: Sequence[str] = ()
    role: Role = "model"


@dataclass(frozen=True, kw_only=True)
class Paths(Labeled):
    """Paths in a plane, or in space where `z_label` is given; a dot marks where each begins.

    With `markers` the points are a cloud in no order: dots and no lines.
    """

    paths: Sequence[Path]
    z_label: str | None = None
    markers: bool = False

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the first two axes on matplotlib axes."""
        axes = new_axes(ax, self)
        for path, (color, dash) in zip(self.paths, styles(self.paths), strict=True):
            x, y = path.points[:, 0], path.points[:, 1]
            if self.markers:
                axes.scatter(x, y, color=color, label=path.name, s=4)
                continue
            axes.plot(x, y, color=color, label=path.name, linestyle=MATPLOTLIB_DASHES[dash])
            axes.plot(x[:1], y[:1], color=color, marker="o")
        axes.legend(fontsize="small")
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure, in 3-D where there is a third axis."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        for path, (color, dash) in zip(self.paths, styles(self.paths), strict=True):
            sizes = [3.0 if self.markers else 9.0] + [3.0] * (len(path.points) - 1)
            common = {
                "name": path.name,
                "text": [escape(label) for label in path.labels] or None,
                "mode": "markers" if self.markers else "lines+markers",
                "marker": {"color": color, "size": sizes, "line": {"width": 0}},
            }
            x, y = path.points[:, 0], path.points[:, 1]
            if self.z_label is None:
                line = {"color": color, "dash": dash, "width": 2}
                figure.add_trace(go.Scatter(x=x, y=y, line=line, **common))
            else:
                line = {"color": color, "width": 4}
                figure.add_trace(go.Scatter3d(x=x, y=y, z=path.points[:, 2], line=line, **common))
        if self.z_label is not None:
            names = {"x": self.x_label, "y": self.y_label, "z": self.z_label}
            figure.update_layout(
                scene={
                    f"{axis}axis": {"title": {"text": text, "font": {"size": 10}}}
                    for axis, text in names.items()
                }
            )
        return figure


@dataclass(frozen=True, kw_only=True)
class Field(Labeled):
    """Arrows in a plane, one field after another along a slider.

    Attributes:
        slider_label: what the fields are ordered by.
        labels: what each field is called, `(field)`.
        points: where arrows begin, `(field, point, axis)`.
        arrows: how far they reach, `(field, point, axis)`, in the units of the axes.
    """

    slider_label: str
    labels: Sequence[str]
    points: Numbers
    arrows: Numbers

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the field half way along the slider on matplotlib axes."""
        axes = new_axes(ax, self)
        shown = len(self.labels) // 2
        axes.set_title(f"{self.title}: {self.labels[shown]}")
        start, arrow = self.points[shown].T, self.arrows[shown].T
        color = styles([Path(name="", points=self.points[shown])])[0][0]
        axes.quiver(*start, *arrow, color=color, angles="xy", scale_units="xy", scale=1.0)
        axes.plot(*(start + arrow), linestyle="", marker=".", color=color, markersize=2)
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure with a slider; a dot marks each arrow's end."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        color = styles([Path(name="", points=self.points[0])])[0][0]
        shown = len(self.labels) // 2
        for place in range(len(self.labels)):
            start, end = self.points[place], self.points[place] + self.arrows[place]
            gap = np.full_like(start, np.nan)
            x, y = np.stack([start, end, gap], axis=1).reshape(-1, 2).T
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    mode="lines+markers",
                    line={"color": color, "width": 1.5},
                    marker={"color": color, "size": [0, 5, 0] * len(start)},
                    visible=place == shown,
                    showlegend=False,
                )
            )
        steps = [
            {
                "label": escape(label),
                "method": "update",
                "args": [{"visible": [other == place for other in range(len(self.labels))]}],
            }
            for place, label in enumerate(self.labels)
        ]
        slider = {
            "active": shown,
            "steps": steps,
            "currentvalue": {"prefix": f"{self.slider_label}: "},
            "pad": {"t": 50},
        }
        figure.update_layout(sliders=[slider], height=600)
        return figure
