"""Figures for print: every drawing in one style, as PDF, SVG or PNG.

The style sets one width (5.5 inches, a column of a paper), one font and one legend below the axes.
A printed figure has no title; the caption begins with it. The same drawing gives the same bytes.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import InputError
from transformer_dynamics.plots.backend import Drawing, Intervals, Paths
from transformer_dynamics.plots.backend.style import MATPLOTLIB_DASHES, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
# Inches.
WIDTH, HEIGHT, LEGEND_ROW, INTERVAL_ROW = 5.5, 3.2, 0.17, 0.27
# Characters of a legend's row, over all its columns.
LEGEND_CHARACTERS = 100
# Characters of a line of an axis label.
ACROSS, UPWARDS = 80, 44
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "savefig.dpi": 300,
    # Text remains text, so that it can be searched and edited.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "transformer-dynamics",
}
# Dates would make each file another one.
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}


def check_format(file_format: str) -> None:
    """Refuse an unknown format.

    Raises:
        InputError: it is none of `FORMATS`.
    """
    if file_format not in FORMATS:
        raise InputError(
            f"got the format {file_format!r}; figures are written as {', '.join(FORMATS)}: "
            "tdyn figures runs/demo --format pdf"
        )


def print_drawing(drawing: Drawing, path: Path, file_format: str) -> None:
    """Write a drawing in the style for print.

    Args:
        drawing: the drawing.
        path: file to write.
        file_format: one of `FORMATS`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure, height = Figure(layout="constrained"), HEIGHT
        if isinstance(drawing, Paths) and drawing.z_label is not None:
            axes: Any = figure.add_subplot(projection="3d")
            _draw_in_space(drawing, axes)
        else:
            axes = figure.subplots()
            drawing.plot(axes)
        axes.set_title("")
        if isinstance(drawing, Intervals):
            height = 0.7 + INTERVAL_ROW * len(drawing.intervals)
        _wrap_labels(figure)
        figure.set_size_inches(WIDTH, height + _legend_below(figure, axes))
        figure.savefig(path, format=file_format, metadata=METADATA[file_format])


def _draw_in_space(drawing: Paths, axes: Any) -> None:
    """Draw paths on three axes; a dot marks the start of each."""
    for path, (color, dash) in zip(drawing.paths, styles(drawing.paths), strict=True):
        x, y, z = path.points.T
        axes.plot(x, y, z, color=color, label=path.name, linestyle=MATPLOTLIB_DASHES[dash])
        axes.scatter(x[:1], y[:1], z[:1], color=color, s=16)
    axes.set(xlabel=drawing.x_label, ylabel=drawing.y_label, zlabel=drawing.z_label)
    axes.set_box_aspect(None, zoom=0.85)
    axes.legend()


def _wrap_labels(figure: Figure) -> None:
    """Break the labels that are longer than their axis, also that of the color scale."""
    for axes in figure.axes:
        axes.set_xlabel(textwrap.fill(axes.get_xlabel(), ACROSS))
        axes.set_ylabel(textwrap.fill(axes.get_ylabel(), UPWARDS))


def _legend_below(figure: Figure, axes: Axes) -> float:
    """Move the legend below the axes, where it hides nothing; return its height in inches."""
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.get_legend()
    if legend is None or not handles:
        return 0.0
    legend.remove()
    # The handle and the gap are as wide as some eight characters.
    widest = max(map(len, labels)) + 8
    n_columns = max(1, min(len(labels), LEGEND_CHARACTERS // widest))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=n_columns, fontsize=7, frameon=False
    )
    return LEGEND_ROW * math.ceil(len(labels) / n_columns)
