"""Distributions over common bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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
class Group:
    """One distribution of a histogram: `values` of shape `(value,)`; `hidden` as in `Series`."""

    name: str
    values: Numbers
    role: Role = "model"
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Histogram(Labeled):
    """Distributions over common bins, as shares of each distribution; NaN are left out."""

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

    def traces(self) -> list[dict[str, Any]]:
        """Outlines of the distributions of the plotly figure."""
        edges, shares = self._shares()
        return [
            {
                "type": "scatter",
                "x": np.repeat(edges, 2),
                "y": np.concatenate([[0.0], np.repeat(share, 2), [0.0]]),
                "name": escape(group.name),
                "visible": "legendonly" if group.hidden else True,
                "mode": "lines",
                "fill": "tozeroy" if group.role == "model" else None,
                "line": {"color": color, "dash": dash, "width": 2},
                "meta": {"role": group.role, "part": "line"},
            }
            for group, share, (color, dash) in zip(
                self.groups, shares, styles(self.groups), strict=True
            )
        ]
