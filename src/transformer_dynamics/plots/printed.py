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
WIDTH, HEIGHT, SPACE_HEIGHT, LEGEND_ROW, INTERVAL_ROW = 5.5, 3.2, 4.6, 0.17, 0.27
# Characters of a legend's row, over all its columns.
LEGEND_CHARACTERS = 100
# Characters of a line of an axis label.
ACROSS, UPWARDS, IN_SPACE = 80, 44, 26
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

    style: Any = STYLE
    with matplotlib.rc_context(style):
        if isinstance(drawing, Paths) and drawing.z_label is not None:
            figure = Figure(figsize=(WIDTH, SPACE_HEIGHT))
            _draw_in_space(drawing, figure)
        else:
            figure = Figure(layout="constrained")
            axes = figure.subplots()
            drawing.plot(axes)
            axes.set_title("")
            _wrap_labels(figure)
            rows = len(drawing.intervals) if isinstance(drawing, Intervals) else 0
            height = 0.7 + INTERVAL_ROW * rows if rows else HEIGHT
            figure.set_size_inches(WIDTH, height + _legend_below(figure, axes))
        figure.savefig(path, format=file_format, metadata=METADATA[file_format])


def _draw_in_space(drawing: Paths, figure: Figure) -> None:
    """Draw paths on three axes; a dot marks the start of each."""
    axes: Any = figure.add_axes((0.0, 0.16, 0.92, 0.84), projection="3d")
    for path, (color, dash) in zip(drawing.paths, styles(drawing.paths), strict=True):
        x, y, z = path.points.T
        axes.plot(x, y, z, color=color, label=path.name, linestyle=MATPLOTLIB_DASHES[dash])
        axes.scatter(x[:1], y[:1], z[:1], color=color, s=16)
    labels = {"x": drawing.x_label, "y": drawing.y_label, "z": drawing.z_label or ""}
    for axis, label in labels.items():
        wrapped = textwrap.fill(label, IN_SPACE)
        getattr(axes, f"set_{axis}label")(wrapped, labelpad=6 + 6 * wrapped.count("\n"))
    axes.set_box_aspect(None, zoom=0.92)
    n_columns = 2 if len(drawing.paths) > 1 else 1
    figure.legend(loc="lower center", ncols=n_columns, fontsize=7, frameon=False)


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
