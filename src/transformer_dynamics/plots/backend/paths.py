"""Paths and clouds of points in a plane, or in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_dynamics.plots.backend.style import (
    MATPLOTLIB_DASHES,
    Labeled,
    Numbers,
    Role,
    escape,
    new_axes,
    styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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

    def traces(self) -> list[dict[str, Any]]:
        """Paths of the plotly figure, in 3-D where there is a third axis."""
        traces = []
        for path, (color, dash) in zip(self.paths, styles(self.paths), strict=True):
            sizes = [3.0 if self.markers else 9.0] + [3.0] * (len(path.points) - 1)
            trace: dict[str, Any] = {
                "type": "scatter",
                "x": path.points[:, 0],
                "y": path.points[:, 1],
                "name": escape(path.name),
                "text": [escape(label) for label in path.labels] or None,
                "mode": "markers" if self.markers else "lines+markers",
                "line": {"color": color, "dash": dash, "width": 2},
                "marker": {"color": color, "size": sizes, "line": {"width": 0}},
                "meta": {"role": path.role, "part": "line"},
            }
            if self.z_label is not None:
                line = {"color": color, "width": 4}
                trace |= {"type": "scatter3d", "z": path.points[:, 2], "line": line}
            traces.append(trace)
        return traces

    def layout(self) -> dict[str, Any]:
        """Labels of the three axes in space."""
        if self.z_label is None:
            return {}
        names = {"x": self.x_label, "y": self.y_label, "z": self.z_label}
        return {
            "scene": {
                f"{axis}axis": {"title": {"text": escape(text), "font": {"size": 10}}}
                for axis, text in names.items()
            }
        }
