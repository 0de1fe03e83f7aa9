"""Several recordings in the same axes: `td.plot`."""

import numpy as np
import pytest

import transformer_dynamics as td
from transformer_dynamics import nulls, synthetic
from transformer_dynamics.errors import InputError
from transformer_dynamics.plots.side_by_side import together
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES

RECORDING = synthetic.spiral(n_samples=6, n_units=6)
WALK = nulls.random_walk(RECORDING)


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_model_and_its_null_are_a_solid_and_a_dashed_line_of_their_means():
    axes = td.plot([RECORDING, WALK], "paths.kinematics", "speed")
    model, null = axes.lines
    speed = MEASURES.get("paths.kinematics").function
    np.testing.assert_allclose(model.get_ydata(), speed(RECORDING)["speed"].mean("sample"))
    np.testing.assert_allclose(null.get_ydata(), speed(WALK)["speed"].mean("sample"))
    assert (model.get_linestyle(), null.get_linestyle()) == ("-", "--")
    assert model.get_color() != null.get_color()
    assert labels(axes) == [
        "spiral: speed, mean over samples (5-95 %)",
        "random walk: speed, mean over samples (5-95 %)",
    ]


def test_one_recording_needs_no_list():
    assert len(td.plot(RECORDING, "paths.kinematics", "cosine").lines) == 1


@pytest.mark.parametrize("collect", [list, tuple, iter])
def test_any_collection_of_recordings_will_do(collect):
    assert len(td.plot(collect([RECORDING, WALK]), "paths.kinematics", "cosine").lines) == 2


def test_the_keys_of_a_mapping_are_names_and_equal_names_are_numbered():
    named = td.plot({"mine": RECORDING, "w": WALK}, "paths.kinematics", "norm")
    assert [label.split(":")[0] for label in labels(named)] == ["mine", "w"]
    listed = td.plot([RECORDING, WALK, WALK, RECORDING, WALK], "paths.kinematics", "norm")
    assert [label.split(":")[0] for label in labels(listed)] == [
        "spiral",
        "random walk",
        "random walk #2",
        "spiral #2",
        "random walk #3",
    ]


def test_another_recording_that_is_no_null_has_a_solid_line():
    other = synthetic.spiral(n_samples=6, n_units=6, seed=1)
    first, second = td.plot([RECORDING, other], "paths.kinematics", "speed").lines
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "-")
    assert first.get_color() != second.get_color()


def test_a_null_alone_is_the_model_of_its_figure():
    (line,) = td.plot(WALK, "paths.kinematics", "speed").lines
    assert line.get_linestyle() == "-"


def test_recordings_without_provenance_have_a_name():
    bare = Recording.from_array(RECORDING.values)
    assert labels(td.plot([bare, bare], "paths.kinematics", "norm"))[1].startswith(
        "a recording #2:"
    )


def test_the_given_axes_are_drawn_on():
    axes = td.plot(RECORDING, "paths.kinematics", "speed")
    axes.clear()
    assert td.plot(WALK, "paths.kinematics", "norm", ax=axes) is axes
    assert len(axes.lines) == 1


def test_parameters_reach_the_measure():
    axes = td.plot(RECORDING, "dimension.pca", "explained_variance_ratio", n_components=2)
    assert len(axes.lines[0].get_xdata()) == 2


def test_histograms_share_their_bins():
    drawing = together({"a": RECORDING, "b": WALK}, "paths.path_geometry", "tortuosity", {})
    model, null = drawing.groups
    assert (model.name, model.role) == ("a: tortuosity", "model")
    assert (null.name, null.role) == ("b: tortuosity", "null")
    assert len(drawing.plot().patches) == 2


def test_rows_of_values_are_listed_by_recording():
    drawing = together({"a": RECORDING, "b": WALK}, "massive.activations", "tortuosity", {})
    assert [row.name[:2] for row in drawing.intervals] == ["a:", "a:", "b:", "b:"]
    assert [row.role for row in drawing.intervals] == ["model", "model", "null", "null"]


def test_the_caption_names_the_nulls():
    drawing = together({"a": RECORDING, "b": WALK}, "paths.kinematics", "speed", {})
    assert drawing.caption.endswith("Interval: 5-95 % of samples. Null model: b.")
    alone = together({"a": RECORDING}, "paths.kinematics", "speed", {})
    assert alone.caption.endswith("Null model: none.")


def test_points_by_kind_of_step_are_of_the_first_recording_only():
    sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"]
    values = np.random.default_rng(0).standard_normal((4, 5, 3)).cumsum(axis=1)
    recording = Recording.from_array(values, sites=sites)
    drawing = together(
        {"a": recording, "b": nulls.random_walk(recording)}, "paths.kinematics", "speed", {}
    )
    assert [(line.name[:1], line.markers) for line in drawing.series] == [
        ("a", False),
        ("a", True),
        ("a", True),
        ("b", False),
    ]


@pytest.mark.parametrize(
    ("measure", "variable", "noun"),
    [
        ("similarity.between_sites", "cka", "heatmap"),
        ("dimension.pca", "loading", "paths"),
    ],
)
def test_a_matrix_or_a_cloud_cannot_share_axes(measure, variable, noun):
    works = rf"td\.{measure}\(recording\)\.td\.plot\('{variable}'\)"
    with pytest.raises(InputError, match=rf"drawn as {noun} .* {works}"):
        td.plot([RECORDING, WALK], measure, variable)


@pytest.mark.parametrize("nothing", [[], {}, ()])
def test_no_recording_is_refused(nothing):
    with pytest.raises(InputError, match=r"no recording .* td\.plot\(\[recording, td\.nulls"):
        td.plot(nothing, "paths.kinematics", "speed")


@pytest.mark.parametrize(
    ("given", "noun"),
    [
        (RECORDING.values, "ndarray"),
        ([RECORDING, None], "NoneType"),
        ("runs/demo/recording.zarr", "str"),
        ({"a": 3}, "int"),
        (3, "int"),
        (None, "NoneType"),
    ],
    ids=["array", "list", "path", "mapping", "number", "nothing"],
)
def test_other_things_than_recordings_are_refused(given, noun):
    with pytest.raises(InputError, match=rf"got {noun} to draw; give a recording"):
        td.plot(given, "paths.kinematics", "speed")


def test_unknown_names_are_refused():
    with pytest.raises(KeyError, match=r"no measure 'paths\.speed'; there are: dimension"):
        td.plot(RECORDING, "paths.speed", "speed")
    with pytest.raises(InputError, match="got variable='sped'"):
        td.plot(RECORDING, "paths.kinematics", "sped")


def test_recordings_of_other_depth_share_the_axis_of_depth():
    deep = synthetic.spiral(n_samples=6, n_units=6, n_sites=20)
    short, long = td.plot([RECORDING, deep], "paths.kinematics", "speed").lines
    assert len(short.get_xdata()) != len(long.get_xdata())
