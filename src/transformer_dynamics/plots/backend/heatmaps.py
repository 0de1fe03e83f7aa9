"""Matrices in color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.plots.backend.style import (
    Labeled,
    Numbers,
    Role,
    escape,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Unlike any color of the scales, whose middle is nearly white.
NO_VALUE = "#BDBDBD"
MOST_TICKS = 10
# Characters of ticks that fit one line.
ACROSS = 64
# Largest number of rows that a screen can show.
MOST_ROWS = 768


@dataclass(frozen=True, kw_only=True)
class Heatmap(Labeled):
    """A matrix in color; NaN is grey.

    The color scale ends at the 99th percentile of the magnitude (of the value to the 99.9th, where
    it is not symmetric), since a few massive activations would otherwise leave the rest one color.
    Larger values have the end color; `color_label` should say so where it matters.

    Attributes:
        color_label: quantity in color, with its unit.
        values: the matrix, `(y, x)`.
        x_names: name of each column.
        y_names: name of each row.
        x_ticks: positions and texts of ticks, in place of the names.
        y_ticks: the same of rows.
        symmetric: whether the color scale is centered on zero.
        limit: end of a symmetric color scale, for maps to be compared.
        role: `null` where the map is that of a null model or control alone.
        own_columns: number of first columns that are no null models, where the others are; the page
            hides these with the null models.
        own_rows: the same of rows.
    """

    color_label: str
    values: Numbers
    x_names: Sequence[str] = ()
    y_names: Sequence[str] = ()
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    symmetric: bool = True
    limit: float | None = None
    role: Role = "model"
    own_columns: int | None = None
    own_rows: int | None = None

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

    def _own(self) -> dict[str, Any]:
        """Part of each axis that shows no null model, where another part does."""
        ends = {"x": self.own_columns, "y": self.own_rows}
        own = {axis: end for axis, end in ends.items() if end is not None}
        return {"own": own} if own else {}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = new_axes(ax, self)
        low, high = self._limits()
        colors = "RdBu_r" if self.symmetric else "viridis"
        image = axes.imshow(
            self.values, aspect="auto", cmap=colors, vmin=low, vmax=high, origin="lower"
        )
        x_ticks, y_ticks = self.x_ticks or _some(self.x_names), self.y_ticks or _some(self.y_names)
        if x_ticks:
            axes.set_xticks(*zip(*x_ticks, strict=True))
        if (self.x_names and not self.x_ticks) or _characters(self.x_ticks) > ACROSS:
            axes.tick_params("x", labelrotation=45)
        if y_ticks:
            axes.set_yticks(*zip(*y_ticks, strict=True))
        axes.set_facecolor(NO_VALUE)
        axes.figure.colorbar(image, ax=axes, label=self.color_label)
        return axes

    def traces(self) -> list[dict[str, Any]]:
        """The matrix of the plotly figure."""
        from plotly.colors import get_colorscale

        low, high = self._limits()
        return [
            {
                "type": "heatmap",
                "z": np.asarray(self.values, dtype=np.float32),
                "x": [escape(name) for name in self.x_names] or None,
                "y": [escape(name) for name in self.y_names] or None,
                "zmin": low,
                "zmax": high,
                "colorscale": get_colorscale("RdBu_r" if self.symmetric else "Viridis"),
                "meta": {"role": self.role, "part": "map"} | self._own(),
                "colorbar": {"title": {"text": escape(self.color_label), "side": "right"}},
            }
        ]

    def layout(self) -> dict[str, Any]:
        """Ticks, and the color of cells without a value, which grid lines would cross."""
        axes = {"xaxis": self.x_ticks, "yaxis": self.y_ticks}
        return {"plot_bgcolor": NO_VALUE} | {
            axis: {"showgrid": False, **_tick_texts(ticks)} for axis, ticks in axes.items()
        }


def _characters(ticks: Sequence[tuple[float, str]]) -> int:
    """Length of the line of all ticks, each as wide as the widest."""
    return len(ticks) * max((len(text) for _, text in ticks), default=0)


def shown_rows(n_rows: int, most: int = MOST_ROWS) -> NDArray[np.intp]:
    """Indices of the rows of a map that are drawn: all, or `most` at even distances."""
    return np.unique(np.linspace(0, n_rows - 1, most).round().astype(np.intp))


def shown_note(n_rows: int, most: int = MOST_ROWS) -> str:
    """Words for the label of the rows, empty where all are drawn.

    >>> shown_note(4096)
    '; 768 of 4096 at even ranks'
    """
    return f"; {most} of {n_rows} at even ranks" if n_rows > most else ""


def _tick_texts(ticks: Sequence[tuple[float, str]]) -> dict[str, Any]:
    """Plotly's description of ticks; empty for its own choice."""
    if not ticks:
        return {}
    positions, names = zip(*ticks, strict=True)
    return {"tickmode": "array", "tickvals": positions, "ticktext": list(map(escape, names))}


def _some(names: Sequence[str]) -> list[tuple[float, str]]:
    """Ticks at even distances, few enough to be read."""
    step = -(-len(names) // MOST_TICKS) or 1
    return [(float(index), names[index]) for index in range(0, len(names), step)]
