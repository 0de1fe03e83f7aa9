"""A figure described once and drawn twice: matplotlib for paper, plotly for screen.

A measure or a claim says what is to be drawn (`Lines`, `Histogram`, `Heatmap`, `Paths`); it does
not say with what. Every drawing has `plot(ax=None) -> Axes` and `figure() -> plotly Figure`. An
axis label carries its unit. A series has a role, and the role gives it its colour, so that the
model and its nulls look the same on every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

Numbers = NDArray[Any]
Role = Literal["model", "detail", "null", "reference"]

MODEL_COLOURS = ("#0072B2", "#56B4E9", "#004466")
NULL_COLOURS = (
    "#D55E00",
    "#E69F00",
    "#CC79A7",
    "#009E73",
    "#8C6D31",
    "#7F7F7F",
    "#B59BD5",
    "#A0522D",
)
REFERENCE_COLOUR = "#444444"
DASHES = ("dash", "dot", "dashdot", "longdash")
MATPLOTLIB_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
}


class Drawing(Protocol):
    """What the report and the notebooks ask of a figure."""

    @property
    def title(self) -> str:
        """The heading."""
        ...

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        ...

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        ...


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
class Lines:
    """Lines over a common axis, each with an optional band."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    y_scale: Literal["linear", "log"] = "linear"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = _axes(ax, self)
        for line, (colour, dash) in zip(self.series, _styles(self.series), strict=True):
            if line.hidden:
                continue
            (drawn,) = axes.plot(line.x, line.y, color=colour, label=line.name, markersize=4)
            drawn.set_linestyle("" if line.markers else MATPLOTLIB_DASHES[dash])
            drawn.set_marker("o" if line.markers else "")
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.2, linewidth=0)
        axes.set_yscale(self.y_scale)
        axes.legend(fontsize="small")
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        figure = _figure(self)
        for line, (colour, dash) in zip(self.series, _styles(self.series), strict=True):
            visible = "legendonly" if line.hidden else True
            if line.low is not None and line.high is not None:
                figure.add_trace(
                    go.Scatter(
                        x=np.concatenate([line.x, line.x[::-1]]),
                        y=np.concatenate([line.high, line.low[::-1]]),
                        fill="toself",
                        fillcolor=_transparent(colour),
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
                    text=[_escape(label) for label in line.labels] or None,
                    mode="markers" if line.markers else "lines",
                    line={"color": colour, "dash": dash, "width": 2},
                    marker={"color": colour, "size": 6},
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
class Histogram:
    """Distributions over common bins, as the share of each that falls in a bin."""

    title: str
    x_label: str
    groups: Sequence[Group]
    n_bins: int = 40
    y_label: str = field(default="share of values per bin (1)")

    def _shares(self) -> tuple[Numbers, list[Numbers]]:
        finite = [group.values[np.isfinite(group.values)] for group in self.groups]
        everything = np.concatenate(finite) if finite else np.empty(0)
        span = (everything.min(), everything.max()) if everything.size else (0.0, 1.0)
        edges = np.linspace(span[0], span[1] if span[1] > span[0] else span[0] + 1, self.n_bins + 1)
        counts = [np.histogram(values, edges)[0] for values in finite]
        return edges, [count / max(1, count.sum()) for count in counts]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = _axes(ax, self)
        edges, shares = self._shares()
        for group, share, (colour, dash) in zip(
            self.groups, shares, _styles(self.groups), strict=True
        ):
            if group.hidden:
                continue
            axes.stairs(
                share,
                edges,
                color=colour,
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

        figure = _figure(self)
        edges, shares = self._shares()
        for group, share, (colour, dash) in zip(
            self.groups, shares, _styles(self.groups), strict=True
        ):
            figure.add_trace(
                go.Scatter(
                    x=np.repeat(edges, 2),
                    y=np.concatenate([[0.0], np.repeat(share, 2), [0.0]]),
                    name=group.name,
                    visible="legendonly" if group.hidden else True,
                    mode="lines",
                    fill="tozeroy" if group.role == "model" else None,
                    line={"color": colour, "dash": dash, "width": 2},
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
class Intervals:
    """Values with their intervals, one below the other, over a common axis."""

    title: str
    x_label: str
    intervals: Sequence[Interval]
    y_label: str = ""

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        axes = _axes(ax, self)
        for place, (row, (colour, _)) in enumerate(
            zip(self.intervals, _styles(self.intervals), strict=True)
        ):
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
            axes.plot([row.value], [place], color=colour, marker="o")
        axes.set_yticks(range(len(self.intervals)), [row.name for row in self.intervals])
        axes.invert_yaxis()
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        figure = _figure(self)
        for row, (colour, _) in zip(self.intervals, _styles(self.intervals), strict=True):
            figure.add_trace(
                go.Scatter(
                    x=[row.value],
                    y=[row.name],
                    name=row.name,
                    mode="markers",
                    marker={"color": colour, "size": 10},
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": [row.high - row.value],
                        "arrayminus": [row.value - row.low],
                        "color": colour,
                        "thickness": 2,
                    },
                    showlegend=False,
                )
            )
        figure.update_yaxes(autorange="reversed", automargin=True)
        figure.update_layout(height=150 + 34 * len(self.intervals))
        return figure


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
        axes = _axes(ax, self)
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

        figure = _figure(self)
        low, high = self._limits()
        figure.add_trace(
            go.Heatmap(
                z=np.asarray(self.values, dtype=np.float32),
                text=None,
                x=[_escape(name) for name in self.x_names] or None,
                zmin=low,
                zmax=high,
                colorscale="RdBu_r" if self.symmetric else "Viridis",
                colorbar={"title": {"text": self.colour_label, "side": "right"}},
            )
        )
        if self.x_ticks:
            places, names = zip(*self.x_ticks, strict=True)
            figure.update_xaxes(
                tickmode="array", tickvals=places, ticktext=list(map(_escape, names))
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
        axes = _axes(ax, self)
        for path, (colour, dash) in zip(self.paths, _styles(self.paths), strict=True):
            x, y = path.points[:, 0], path.points[:, 1]
            axes.plot(x, y, color=colour, label=path.name, linestyle=MATPLOTLIB_DASHES[dash])
            axes.plot(x[:1], y[:1], color=colour, marker="o")
        axes.legend(fontsize="small")
        return axes

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure, in 3-D where there is a third axis."""
        import plotly.graph_objects as go

        figure = _figure(self)
        for path, (colour, dash) in zip(self.paths, _styles(self.paths), strict=True):
            sizes = [9.0] + [3.0] * (len(path.points) - 1)
            common = {
                "name": path.name,
                "text": [_escape(label) for label in path.labels] or None,
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


def _axes(ax: Axes | None, drawing: Any) -> Axes:
    if ax is None:
        from matplotlib.figure import Figure as MatplotlibFigure

        ax = MatplotlibFigure(figsize=(7, 4.5), layout="constrained").subplots()
    ax.set_title(drawing.title)
    ax.set_xlabel(drawing.x_label)
    ax.set_ylabel(drawing.y_label)
    return ax


def _figure(drawing: Any) -> Figure:
    import plotly.graph_objects as go

    return go.Figure(
        layout={
            "title": {"text": _escape(drawing.title), "font": {"size": 15}},
            "template": "plotly_white",
            "xaxis": {"title": {"text": drawing.x_label}},
            "yaxis": {"title": {"text": drawing.y_label}},
            "legend": {"orientation": "h", "yanchor": "top", "y": -0.2},
            "margin": {"l": 70, "r": 20, "t": 50, "b": 60},
            "height": 480,
        }
    )


def _styles(items: Sequence[Any]) -> list[tuple[str, str]]:
    """Colour and dash by role: the model is solid and blue, nulls are dashed and warm."""
    styles, models, nulls, references = [], 0, 0, 0
    for item in items:
        if item.role == "null":
            styles.append((NULL_COLOURS[nulls % len(NULL_COLOURS)], DASHES[nulls % len(DASHES)]))
            nulls += 1
        elif item.role == "reference":
            styles.append((REFERENCE_COLOUR, DASHES[(references + 1) % len(DASHES)]))
            references += 1
        else:
            styles.append((MODEL_COLOURS[models % len(MODEL_COLOURS)], "solid"))
            models += 1
    return styles


def _transparent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _escape(text: str) -> str:
    """Plotly reads some HTML in labels; text from a corpus or a model's name must stay text."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
