"""Drawings by dimensions alone: the numbers of each form, and the call in each refusal."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import looks
from transformer_dynamics.errors import InputError
from transformer_dynamics.plots.backend import (
    Heatmap,
    Histogram,
    Intervals,
    Lines,
    Paths,
    default_drawings,
    variable_drawing,
)
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.synthetic import spiral

N_SAMPLES, SITES = 21, ["0.pre_attn", "0.pre_mlp", "1.pre_attn"]
UNITS = {"units": "stream units"}


def dataset(values, dims, attrs=None, **coords):
    """A result with the variable `speed`."""
    variable = xr.DataArray(np.asarray(values), dims=dims, attrs=UNITS if attrs is None else attrs)
    return xr.Dataset({"speed": variable}, coords=coords)


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=float).reshape(shape)


def test_sample_by_site_is_a_mean_with_the_band_of_the_samples():
    rows = np.linspace(0, 1, N_SAMPLES)[:, np.newaxis] + [0, 10, 20]
    drawing = variable_drawing(dataset(rows, ("sample", "site"), site=SITES), "speed")
    assert isinstance(drawing, Lines)
    (line,) = drawing.series
    np.testing.assert_allclose(line.y, [0.5, 10.5, 20.5])
    np.testing.assert_allclose(line.low, [0.05, 10.05, 20.05])
    np.testing.assert_allclose(line.high, [0.95, 10.95, 20.95])
    assert line.x.tolist() == [0, 1, 2]
    assert list(line.labels) == SITES
    assert (drawing.x_label, drawing.y_label) == ("site (index)", "speed (stream units)")
    assert line.name == "speed, mean over samples (5-95 %)"
    assert drawing.caption == (
        "Speed. N = 21 samples. Interval: 5-95 % of samples. Null model: none."
    )
    looks.complete(drawing)


def test_the_order_of_dimensions_and_undefined_samples_change_nothing():
    rows = ramp(N_SAMPLES, 3)
    given = dataset(rows, ("sample", "site"))
    turned = given.transpose("site", "sample")
    padded = dataset(np.vstack([rows, np.full((4, 3), np.nan)]), ("sample", "site"))
    expected = variable_drawing(given, "speed").series[0]
    for result in (turned, padded):
        line = variable_drawing(result, "speed").series[0]
        np.testing.assert_allclose(
            [line.y, line.low, line.high], [expected.y, expected.low, expected.high]
        )


@pytest.mark.parametrize("with_samples", [True, False])
def test_attention_and_mlp_steps_are_points_on_the_line(with_samples):
    kinds = ("step", ["attention", "mlp", "attention", "mlp"])
    values, dims = (ramp(2, 4), ("sample", "step")) if with_samples else (ramp(4), ("step",))
    drawing = variable_drawing(dataset(values, dims, step_kind=kinds), "speed")
    line, attention, mlp = drawing.series
    assert (line.markers, attention.markers, mlp.markers) == (False, True, True)
    assert (attention.x.tolist(), mlp.x.tolist()) == ([0, 2], [1, 3])
    np.testing.assert_array_equal(mlp.y, line.y[[1, 3]])
    assert attention.low is None
    assert drawing.x_label == "step (index of the site it starts from)"
    looks.complete(drawing)


def test_low_and_high_are_the_band_of_their_variable():
    result = dataset([1.0, 2.0, 3.0], ("site",))
    result["speed_low"], result["speed_high"] = result["speed"] - 1, result["speed"] + 2
    drawings = default_drawings(result)
    (line,) = drawings[0].series
    assert len(drawings) == 1
    np.testing.assert_array_equal([line.low, line.high], [[0, 1, 2], [3, 4, 5]])
    assert "Interval: speed_low to speed_high." in drawings[0].caption
    alone = variable_drawing(result, "speed_low").series[0]
    np.testing.assert_array_equal(alone.y, [0, 1, 2])
    assert alone.low is None


def test_an_end_without_its_variable_is_drawn_and_half_a_band_is_none():
    result = dataset([1.0, 2.0], ("site",)).rename(speed="speed_low")
    assert len(default_drawings(result)) == 1
    half = dataset([1.0, 2.0], ("site",))
    half["speed_low"] = half["speed"] - 1
    assert variable_drawing(half, "speed").series[0].low is None


def test_one_line_for_each_named_entry_with_its_own_band():
    result = dataset(ramp(2, 3), ("system", "site"), system=["model", "zero_update"])
    result["speed_low"], result["speed_high"] = result["speed"] - 1, result["speed"] + 1
    drawing = variable_drawing(result, "speed")
    model, null = drawing.series
    assert (model.name, model.role, null.name, null.role) == (
        "model",
        "model",
        "zero update",
        "null",
    )
    np.testing.assert_array_equal(null.y, [3, 4, 5])
    np.testing.assert_array_equal(null.low, [2, 3, 4])
    assert drawing.caption.endswith("Null model: zero update.")
    looks.complete(drawing)


def test_words_are_combined_and_numbers_are_named_by_their_dimension():
    words = dataset(ramp(2, 2, 3), ("kind", "edit", "site"), kind=["a", "b"], edit=["c", "d"])
    assert [line.name for line in variable_drawing(words, "speed").series] == [
        "a, c",
        "a, d",
        "b, c",
        "b, d",
    ]
    numbers = dataset(ramp(3, 2), ("site", "lag"), lag=[1, 4])
    lines = variable_drawing(numbers, "speed").series
    assert [line.name for line in lines] == ["lag 1", "lag 4"]
    np.testing.assert_array_equal(lines[1].y, [1, 3, 5])


def test_a_numbered_axis_keeps_its_numbers_and_unit():
    result = dataset(ramp(3), ("radius",), radius=[0.5, 1.0, 4.0])
    result["radius"].attrs["units"] = "spread of texts"
    drawing = variable_drawing(result, "speed")
    assert drawing.series[0].x.tolist() == [0.5, 1.0, 4.0]
    assert drawing.x_label == "radius (spread of texts)"


def test_two_sites_are_a_matrix():
    values = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    drawing = variable_drawing(dataset(values, ("site", "other_site"), site=["a", "b"]), "speed")
    assert isinstance(drawing, Heatmap)
    np.testing.assert_array_equal(drawing.values, np.transpose(values))
    assert (drawing.x_label, drawing.y_label) == ("site (label)", "other site (label)")
    assert (drawing.x_names, drawing.y_names) == (["a", "b"], ["0", "1", "2"])
    assert drawing.color_label == "speed (stream units)"
    assert not drawing.symmetric
    looks.complete(drawing)


def test_a_matrix_is_the_mean_over_units_without_undefined_ones():
    values = np.stack([np.eye(3), 3 * np.eye(3), np.full((3, 3), np.nan)])
    drawing = variable_drawing(dataset(-values, ("unit", "site", "other_site")), "speed")
    np.testing.assert_array_equal(drawing.values, -2 * np.eye(3))
    assert drawing.symmetric
    assert "N = 3 units." in drawing.caption


def test_many_numbers_over_depth_are_a_matrix():
    drawing = variable_drawing(dataset(ramp(3, 40), ("site", "lag")), "speed")
    assert isinstance(drawing, Heatmap)


def test_components_of_samples_are_a_cloud_of_the_first_two():
    drawing = variable_drawing(dataset(ramp(5, 3), ("sample", "component")), "speed")
    assert isinstance(drawing, Paths)
    assert drawing.markers
    np.testing.assert_array_equal(drawing.paths[0].points, ramp(5, 3)[:, :2])
    assert (drawing.x_label, drawing.y_label) == (
        "component 1 (stream units)",
        "component 2 (stream units)",
    )
    looks.complete(drawing)


def test_components_alone_are_a_line_and_a_single_one_is_a_histogram():
    shares = variable_drawing(dataset([0.5, 0.3, 0.2], ("component",)), "speed")
    np.testing.assert_array_equal(shares.series[0].y, [0.5, 0.3, 0.2])
    single = variable_drawing(dataset(ramp(5, 1), ("sample", "component")), "speed")
    np.testing.assert_array_equal(single.groups[0].values, ramp(5))


@pytest.mark.parametrize("dims", [("unit",), ("sample",), ("tangled_sample",), ("sample", "unit")])
def test_repeated_dimensions_alone_are_a_histogram(dims):
    values = np.ones([2] * len(dims))
    values.flat[0] = np.nan
    drawing = variable_drawing(dataset(values, dims), "speed")
    assert isinstance(drawing, Histogram)
    assert drawing.groups[0].values.shape == (values.size,)
    assert drawing.x_label == "speed (stream units)"
    looks.complete(drawing)


def test_a_number_has_its_interval():
    result = xr.Dataset({"p": ((), 3.0, {"units": "1"}), "p_low": 2.0, "p_high": 5.0})
    (row,) = variable_drawing(result, "p").intervals
    assert (row.value, row.low, row.high) == (3.0, 2.0, 5.0)
    (alone,) = variable_drawing(result, "p_low").intervals
    assert (alone.value, alone.low, alone.high) == (2.0, 2.0, 2.0)
    looks.complete(variable_drawing(result, "p"))


def test_words_alone_are_rows_of_values():
    result = dataset([[1.0, 3.0], [5.0, 7.0]], ("test", "draw"), test=["a_b", "c"])
    drawing = variable_drawing(result, "speed")
    assert isinstance(drawing, Intervals)
    assert [row.name for row in drawing.intervals] == [
        "a b, mean over draws (5-95 %)",
        "c, mean over draws (5-95 %)",
    ]
    assert [row.value for row in drawing.intervals] == [2.0, 6.0]
    assert drawing.intervals[0].low == pytest.approx(1.1)


def test_truths_and_integers_are_numbers():
    assert variable_drawing(dataset([True, False], ("site",)), "speed").series[0].y.tolist() == [
        1,
        0,
    ]
    assert variable_drawing(dataset([3, 4], ("site",)), "speed").series[0].y.tolist() == [3, 4]


def test_without_attrs_the_unit_is_said_to_be_missing():
    drawing = variable_drawing(dataset([1.0, 2.0], ("site",), attrs={}), "speed")
    assert drawing.y_label == "speed (no unit given)"
    assert "N = not stated." in drawing.caption
    looks.complete(drawing)


def test_title_and_definition_come_from_the_result():
    result = dataset([1.0], ("site",), attrs={**UNITS, "definition": "|x[s+1] - x[s]|."})
    drawing = variable_drawing(result.assign_attrs(title="Kinematics"), "speed")
    assert drawing.title == "Kinematics: speed"
    assert drawing.caption.startswith("Speed, |x[s+1] - x[s]|. N = ")


@pytest.mark.parametrize("variable", ["sped", "site", "", None, 3, ["speed"]])
def test_an_unknown_variable_lists_the_known_ones(variable):
    result = dataset([1.0, 2.0], ("site",), site=["a", "b"])
    with pytest.raises(
        InputError, match=r"has the variables speed; this can be drawn: result\.td\.plot\('speed'\)"
    ):
        variable_drawing(result, variable)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a", "b"]),
        np.array(["a", None], dtype=object),
        np.array([1j, 2]),
        np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]"),
    ],
    ids=["text", "object", "complex", "date"],
)
def test_other_values_than_real_numbers_are_refused(values):
    result = dataset(values, ("site",)).assign(norm=("site", [1.0, 2.0]))
    with pytest.raises(
        InputError, match=r"not real numbers .* this can be drawn: result\.td\.plot\('norm'\)"
    ):
        variable_drawing(result, "speed")
    assert [drawing.title for drawing in default_drawings(result)] == ["Norm"]


def test_a_variable_without_values_is_refused():
    result = dataset(np.empty((3, 0)), ("site", "unit"))
    with pytest.raises(InputError, match="holds no value; this can be drawn: no variable"):
        variable_drawing(result, "speed")
    more = result.assign(norm=("site", [1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match=r"this can be drawn: result\.td\.plot\('norm'\)"):
        variable_drawing(more, "speed")


def test_a_variable_may_have_a_number_for_a_name():
    (drawing,) = default_drawings(xr.Dataset({0: ("site", [1.0, 2.0])}))
    assert drawing.title == "0"


@pytest.mark.parametrize("result", [xr.Dataset(), xr.Dataset(coords={"site": ["a"]})])
def test_an_empty_result_is_refused(result):
    with pytest.raises(InputError, match=r"no variable, .* measure\(name, draw=function\)"):
        default_drawings(result)
    with pytest.raises(InputError, match="the result has no variable"):
        variable_drawing(result, "speed")


@pytest.mark.parametrize(
    "dims",
    [
        ("site", "other_site", "lag"),
        ("kind", "site", "other_site"),
        ("kind", "lag", "rank", "site"),
        ("lag", "rank", "radius"),
        ("sample", "kind", "edit", "site", "other_site"),
    ],
)
def test_too_many_dimensions_are_refused_with_a_call_that_works(dims):
    words = {
        dim: [f"{dim} {index}" for index in range(3)] for dim in dims if dim in ("kind", "edit")
    }
    result = dataset(ramp(*[3] * len(dims)), dims, **words)
    with pytest.raises(InputError, match=r"choose entries of the others") as refused:
        variable_drawing(result, "speed")
    call = str(refused.value).rpartition(": ")[2]
    axes = eval(call, {"result": result})  # the message's own code
    assert axes.get_title() == "Speed"


def test_too_many_words_are_refused_or_become_a_matrix():
    names = [f"kind {index}" for index in range(20)]
    result = dataset(ramp(20, 3), ("kind", "site"), kind=names)
    assert isinstance(variable_drawing(result, "speed"), Heatmap)
    rows = dataset(ramp(30), ("kind",), kind=[f"kind {index}" for index in range(30)])
    assert len(variable_drawing(rows, "speed").intervals) == 30


def test_the_accessor_draws_one_variable_on_the_given_axes():
    result = dataset(ramp(4, 3), ("sample", "site"))
    axes = looks.complete(result.td.drawing("speed"))
    axes.clear()
    assert result.td.plot("speed", ax=axes) is axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), ramp(4, 3).mean(axis=0))
    assert result.td.figure("speed").layout.yaxis.title.text == "speed (stream units)"
    assert result.td.plot().get_title() == "Speed"


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
@pytest.mark.parametrize("name", list(MEASURES.all()))
def test_every_variable_of_every_measure_is_drawn_or_refused(name):
    result = MEASURES.get(name).function(spiral(n_samples=8, n_units=6))
    refusals = []
    for variable in result.data_vars:
        try:
            drawing = variable_drawing(result, variable)
        except InputError as refused:
            refusals.append(str(refused))
        else:
            looks.complete(drawing)
            plt.close("all")
    assert len(refusals) < len(result.data_vars)
    assert all("result.td." in refusal or "result.isel(" in refusal for refusal in refusals)
