"""Figures of the view Explore from its numbers, with the names of its series.

Series of many texts are one series with a gap between texts. The names are those of the files that
the page saves, so that a series of one is found in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer_dynamics.numerics.arrays import Floats, band
from transformer_dynamics.plots.backend.lines import Series
from transformer_dynamics.plots.backend.style import Role

# Degrees about the vertical axis, and up.
Turn = tuple[float, float]
PLANES = ("1,2", "1,3", "2,3", "3d", "autoencoder")


def line(name: str, x: Any, y: Any, labels: Sequence[str] = (), *, role: Role = "model") -> Series:
    """One line."""
    return Series(name=name, x=_floats(x), y=_floats(y), labels=labels, role=role)


def over_depth(
    name: str, y: Any, labels: Sequence[str] = (), *, role: Role = "model", ends: Any = None
) -> Series:
    """A line over the index of its site or step, `(index)`, or lines, `(text, index)`.

    Args:
        name: name in the legend.
        y: values.
        labels: names of the sites or steps.
        role: model, detail of the model, or null model.
        ends: lower and upper edge of a band, `(2, index)`.
    """
    y = _floats(y)
    if y.ndim == 2:
        return several(name, np.broadcast_to(np.arange(y.shape[1]), y.shape), y, role=role)
    low, high = (None, None) if ends is None else _floats(ends)
    x = np.arange(float(y.size))
    return Series(name=name, x=x, y=y, low=low, high=high, labels=labels, role=role)


def several(name: str, x: Any, y: Any, *, role: Role = "model") -> Series:
    """Lines `(text, point)` as one series with a gap after each."""
    gap = [(0, 0), (0, 1)]
    padded = (np.pad(_floats(each), gap, constant_values=np.nan).ravel() for each in (x, y))
    return Series(name=name, x=next(padded), y=next(padded), role=role)


def marked(name: str, x: float, y: float) -> Series:
    """One point."""
    return Series(name=name, x=_floats([x]), y=_floats([y]), markers=True)


def orbit(trace: Any) -> tuple[Floats, Floats]:
    """Activation and its change to the next site, `(..., step)`, of `(..., site)`."""
    trace = _floats(trace)
    return trace[..., :-1], np.diff(trace, axis=-1)


def projected(scores: Any, plane: str, turn: Turn) -> tuple[Floats, Floats]:
    """Coordinates of points in a plane.

    Args:
        scores: `(..., component)`.
        plane: two components as `"1,2"`; `"3d"`: three of them seen from a direction, without
            perspective; `"autoencoder"`: the first two latents.
        turn: direction in degrees, about the vertical axis and up.
    """
    scores = _floats(scores)
    if plane == "3d":
        across, up = np.deg2rad(turn)
        first, second, third = np.moveaxis(scores, -1, 0)
        ahead = first * np.sin(across) - second * np.cos(across)
        x = first * np.cos(across) + second * np.sin(across)
        return x, third * np.cos(up) + ahead * np.sin(up)
    axes = (0, 1) if plane == "autoencoder" else [int(each) - 1 for each in plane.split(",")]
    return scores[..., axes[0]], scores[..., axes[1]]


def quantiles(values: Any) -> tuple[Floats, Floats, Floats]:
    """Compute the 5 %, 50 % and 95 % quantiles over the first axis without NaN.

    Returns:
        Each `(index)`, NaN where all values are NaN.
    """
    columns = _floats(values).T
    low, high = band(columns)
    middle = np.full(len(columns), np.nan)
    defined = ~np.isnan(columns).all(axis=1)
    middle[defined] = np.nanmedian(columns[defined], axis=1)
    return low, middle, high


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)
