"""Parts that all drawings share: titles and labels, colors by role, empty axes, escaped text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

Numbers = NDArray[Any]
Role = Literal["model", "detail", "null", "reference"]

MODEL_COLORS = ("#0072B2", "#56B4E9", "#004466", "#2A9D8F", "#6A4FB3")
NULL_COLORS = (
    "#D55E00",
    "#E69F00",
    "#CC79A7",
    "#009E73",
    "#8C6D31",
    "#7F7F7F",
    "#B59BD5",
    "#A0522D",
)
REFERENCE_COLOR = "#444444"
DASHES = ("dash", "dot", "dashdot", "longdash")
MATPLOTLIB_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
}
GRID_COLOR = "#EBF0F8"
TEXT_COLOR = "#2a3f5f"
PLOTLY_AXIS = {
    "gridcolor": GRID_COLOR,
    "linecolor": GRID_COLOR,
    "zerolinecolor": GRID_COLOR,
    "zerolinewidth": 2,
    "automargin": True,
    "ticks": "",
}
# Plotly copies a template for every figure; one of its own would take longer than the figure.
PLOTLY_TEMPLATE = {
    "layout": {
        "font": {"color": TEXT_COLOR},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "autotypenumbers": "strict",
        "xaxis": {**PLOTLY_AXIS, "title": {"standoff": 15}},
        "yaxis": {**PLOTLY_AXIS, "title": {"standoff": 15}},
        "title": {"x": 0.05},
        "annotationdefaults": {"arrowcolor": TEXT_COLOR, "arrowhead": 0, "arrowwidth": 1},
    },
    "data": {"heatmap": [{"colorbar": {"outlinewidth": 0, "ticks": ""}}]},
}


class Drawing(Protocol):
    """Interface of a figure, for the report and for notebooks."""

    @property
    def title(self) -> str:
        """Short noun phrase."""
        ...

    @property
    def caption(self) -> str:
        """Plotted quantity, N, interval, null model."""
        ...

    @property
    def interpretation(self) -> str:
        """One sentence on the reading of the figure."""
        ...

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw on matplotlib axes."""
        ...

    def specification(self) -> dict[str, Any]:
        """Describe the interactive figure as plotly's `data` and `layout`."""
        ...

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        ...


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """Title, axis labels, caption and interpretation of a drawing.

    Attributes:
        title: short noun phrase.
        x_label: quantity on the first axis, with its unit in parentheses.
        y_label: quantity on the second axis, with its unit in parentheses.
        caption: plotted quantity, N, interval, null model.
        interpretation: one sentence on the reading of the figure.
    """

    title: str
    x_label: str
    y_label: str
    caption: str = ""
    interpretation: str = ""

    def traces(self) -> list[dict[str, Any]]:
        """Traces of the plotly figure."""
        raise NotImplementedError

    def layout(self) -> dict[str, Any]:
        """Parts of the plotly layout that belong to this form; they extend the common ones."""
        return {}

    def specification(self) -> dict[str, Any]:
        """Describe the interactive figure as plotly's `data` and `layout`.

        `meta` of a trace names its role, and whether it is a line, its band or an interval.
        """
        return {"data": self.traces(), "layout": _merged(_common_layout(self), self.layout())}

    def figure(self) -> Figure:
        """Draw as an interactive plotly figure."""
        import plotly.graph_objects as go

        return go.Figure(self.specification())


def new_axes(ax: Axes | None, drawing: Any) -> Axes:
    """The axes to draw on, the caller's or new ones, with title and labels."""
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(7, 4.5), layout="constrained").subplots()
    ax.set_title(drawing.title)
    ax.set_xlabel(drawing.x_label)
    ax.set_ylabel(drawing.y_label)
    return ax


def _common_layout(drawing: Labeled) -> dict[str, Any]:
    """Plotly layout with title and labels."""
    return {
        "title": {"text": escape(drawing.title), "font": {"size": 15}},
        "template": PLOTLY_TEMPLATE,
        "xaxis": {"title": {"text": escape(drawing.x_label)}},
        "yaxis": {"title": {"text": escape(drawing.y_label)}},
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.2},
        "margin": {"l": 70, "r": 20, "t": 50, "b": 60},
        "height": 480,
    }


def _merged(layout: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Layout in which changes replace entries, and extend entries that are dictionaries."""
    extended = {
        name: {**layout[name], **change} if isinstance(layout.get(name), dict) else change
        for name, change in changes.items()
    }
    return {**layout, **extended}


def styles(items: Sequence[Any]) -> list[tuple[str, str]]:
    """Color and dash by role: the model is blue and solid, nulls are warm and dashed."""
    chosen, models, nulls, references = [], 0, 0, 0
    for item in items:
        if item.role == "null":
            chosen.append((NULL_COLORS[nulls % len(NULL_COLORS)], DASHES[nulls % len(DASHES)]))
            nulls += 1
        elif item.role == "reference":
            chosen.append((REFERENCE_COLOR, DASHES[(references + 1) % len(DASHES)]))
            references += 1
        else:
            cycle, index = divmod(models, len(MODEL_COLORS))
            chosen.append((MODEL_COLORS[index], ("solid", *DASHES)[cycle % (len(DASHES) + 1)]))
            models += 1
    return chosen


def transparent(color: str) -> str:
    """Color of the band about a line of `color`, given as `#RRGGBB`."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def escape(text: str) -> str:
    """Text with its angle brackets and ampersands escaped: plotly reads HTML in labels."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
