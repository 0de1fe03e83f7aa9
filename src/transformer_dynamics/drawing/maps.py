"""Drawings over two axes or three: matrices in colour, paths in a plane or in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transformer_dynamics.drawing.style import (
    MATPLOTLIB_DASHES,
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


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """A matrix in colour; `values` has shape `(y, x)`.

    A symmetric scale is centred on zero. The colour scale ends at the 99th percentile of the
    magnitude, since a few massive activations would otherwise leave the rest one colour; what lies
    beyond is drawn in the end colour, and `colour_label` should say so where it matters.
    """

    title: str
    x_label: str
    y_label: str
    colour_label: str
    values: Numbers
    x_names: Sequence[str] = ()
    x_ticks: Sequence[tuple[float, str]] = ()
    symmetric: bool = True

    def _limits(self) -> tuple[float, float]:
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
        colours = "RdBu_r" if self.symmetric else "viridis"
        image = axes.imshow(
            self.values, aspect="auto", cmap=colours, vmin=low, vmax=high, origin="lower"
        )
        if self.x_ticks:
            axes.set_xticks(*zip(*self.x_ticks, strict=True))
        axes.figure.colorbar(image, ax=axes, label=self.colour_label)
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
                colorbar={"title": {"text": self.colour_label, "side": "right"}},
            )
        )
        if self.x_ticks:
            places, names = zip(*self.x_ticks, strict=True)
            figure.update_xaxes(
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
class Paths:
    """Paths in a plane, or in space where `z_label` is given; a dot marks where each begins."""

    title: str
    x_label: str
    y_label: str
    paths: Sequence[Path]
    z_label: str | None = None

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the first two axes on matplotlib axes."""
        axes = new_axes(ax, self)
        for path, (colour, dash) in zip(self.paths, styles(self.paths), strict=True):
            x, y = path.points[:, 0], path.points[:, 1]
            axes.plot(x, y, color=colour, label=path.name, linestyle=MATPLOTLIB_DASHES[dash])
            axes.plot(x[:1], y[:1], color=colour, marker="o")
        axes.legend(fontsize="small")
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure, in 3-D where there is a third axis."""
        import plotly.graph_objects as go

        figure = new_figure(self)
        for path, (colour, dash) in zip(self.paths, styles(self.paths), strict=True):
            sizes = [9.0] + [3.0] * (len(path.points) - 1)
            common = {
                "name": path.name,
                "text": [escape(label) for label in path.labels] or None,
                "mode": "lines+markers",
                "marker": {"color": colour, "size": sizes, "line": {"width": 0}},
            }
            x, y = path.points[:, 0], path.points[:, 1]
            if self.z_label is None:
                line = {"color": colour, "dash": dash, "width": 2}
                figure.add_trace(go.Scatter(x=x, y=y, line=line, **common))
            else:
                line = {"color": colour, "width": 4}
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
