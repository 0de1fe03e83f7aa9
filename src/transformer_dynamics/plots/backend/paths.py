"""Paths and clouds of points in a plane, or in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(frozen=True, kw_only=True)
class Path:
    """One path; `points` has shape `(point, axis)` with two or three axes."""

    name: str
    points: Numbers
    labels: Sequence[str] = ()
    role: Role = "model"


@dataclass(frozen=True, kw_only=True)
class Paths(Labeled):
    """Paths in a plane, or in space where `z_label` is given; a dot marks the start of each.

    With `markers` the points have no order, and are drawn as dots without lines.
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
                axes.scatter(x, y, color=color, label=path.name, s=9)
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
