"""Drawings: the same figure on paper and on screen, and text that stays text."""

import numpy as np
import pytest

from transformer_dynamics.plots.backend import (
    Group,
    Heatmap,
    Histogram,
    Interval,
    Intervals,
    Lines,
    Path,
    Paths,
    Series,
)

X = np.arange(4)
DRAWINGS = {
    "lines": Lines(
        title="t",
        x_label="x (1)",
        y_label="y (1)",
        series=[
            Series(name="model", x=X, y=X + 1.0, low=X + 0.5, high=X + 2.0),
            Series(name="points", x=X[:2], y=X[:2], role="detail", markers=True),
            Series(name="null", x=X, y=X, role="null"),
            Series(name="later", x=X, y=X, role="null", hidden=True),
            Series(name="reference", x=X, y=X, role="reference"),
        ],
    ),
    "histogram": Histogram(
        title="t",
        x_label="x (1)",
        groups=[
            Group(name="model", values=np.array([1.0, 2.0, 2.0, np.nan])),
            Group(name="null", values=np.array([0.0]), role="null"),
        ],
    ),
    "heatmap": Heatmap(
        title="t", x_label="x (1)", y_label="y (1)", color_label="c (1)", values=np.eye(4),
        x_ticks=[(1.0, "model")],
    ),
    "intervals": Intervals(
        title="t", x_label="x (1)",
        intervals=[
            Interval(name="model", value=1, low=0, high=3),
            Interval(name="null", value=5, low=4, high=5, role="null"),
        ],
    ),
    "paths": Paths(
        title="t", x_label="x (1)", y_label="y (1)",
        paths=[Path(name="model", points=np.random.default_rng(0).standard_normal((5, 2)))],
    ),
    "space": Paths(
        title="t", x_label="x (1)", y_label="y (1)", z_label="z (1)",
        paths=[Path(name="model", points=np.random.default_rng(0).standard_normal((5, 3)))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRAWINGS)
def test_both_backends_draw_and_label(kind):
    drawing = DRAWINGS[kind]
    axes = drawing.plot()
    assert axes.get_xlabel() == "x (1)"
    assert axes.get_title() == "t"
    figure = drawing.figure()
    assert figure.layout.title.text == "t"
    assert "model" in figure.to_json()


def test_lines_show_values_bands_and_what_waits_in_the_legend():
    axes = DRAWINGS["lines"].plot()
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), X + 1.0)
    assert [line.get_label() for line in axes.lines] == ["model", "points", "null", "reference"]
    assert len(axes.collections) == 1
    traces = {trace.name: trace for trace in DRAWINGS["lines"].figure().data if trace.name}
    assert traces["later"].visible == "legendonly"
    assert traces["model"].line.color != traces["null"].line.color


def test_histogram_shares_sum_to_one_and_leave_nan_out():
    _, shares = DRAWINGS["histogram"]._shares()
    assert [share.sum() for share in shares] == pytest.approx([1.0, 1.0])
    assert shares[0].max() == pytest.approx(2 / 3)


def test_heatmap_scale_is_not_ruled_by_one_massive_value():
    values = np.ones((100, 100))
    values[0, 0] = 1e6
    low, high = Heatmap(title="", x_label="", y_label="", color_label="", values=values)._limits()
    assert (low, high) == (-1.0, 1.0)


def test_drawing_on_given_axes():
    axes = DRAWINGS["paths"].plot()
    assert DRAWINGS["intervals"].plot(axes) is axes


def test_labels_stay_text():
    line = Series(name="a", x=X[:1], y=X[:1], labels=["<b>bold</b>"])
    figure = Lines(title="<i>t</i>", x_label="", y_label="", series=[line]).figure()
    assert figure.layout.title.text == "&lt;i&gt;t&lt;/i&gt;"
    assert figure.data[0].text[0] == "&lt;b&gt;bold&lt;/b&gt;"
