"""Figures of Explore in Python: known numbers, and errors that name what the page shows."""

import numpy as np
import pytest

import transformer_dynamics as td
from transformer_dynamics.errors import InputError, RecordingError
from transformer_dynamics.measures.dimension.autoencoder_options import AutoencoderOptions
from transformer_dynamics.report.explorer import Exploration
from transformer_dynamics.report.explorer.drawings import projected
from transformer_dynamics.storage.results import save_result

SELECTED = {"sample": 2, "site": "1.pre_attn"}


@pytest.fixture(scope="module")
def exploration(explored):
    return Exploration(explored)


def by_name(drawing):
    return {series.name: series for series in drawing.series}


def test_a_trace_is_that_of_the_recording(explored, exploration):
    values = td.open_recording(explored / "recording.zarr").values
    drawing = exploration.trace(unit=3, **SELECTED)
    series = by_name(drawing)
    np.testing.assert_array_equal(series["selected text"].y, values[2, :, 3])
    np.testing.assert_allclose(series["median, 5–95 %"].y, np.median(values[:, :, 3], axis=0))
    gaps = np.isnan(series["single texts"].y)
    np.testing.assert_array_equal(series["single texts"].y[~gaps], values[:, :, 3].ravel())
    assert gaps.sum() == len(values)
    assert drawing.plot().get_title() == "Trace of unit 3"
    assert "N = 14 of 14 samples" in drawing.caption


def test_an_orbit_and_the_movement_are_those_of_the_states(explored, exploration):
    values = td.open_recording(explored / "recording.zarr").values
    orbit = by_name(exploration.portrait(unit=3, **SELECTED))["selected text"]
    np.testing.assert_array_equal(orbit.x, values[2, :-1, 3])
    np.testing.assert_allclose(orbit.y, np.diff(values[2, :, 3].astype(float)), rtol=1e-6)
    speed = by_name(exploration.speed(**SELECTED))["selected text"]
    expected = np.linalg.norm(np.diff(values[2].astype(float), axis=0), axis=1)
    np.testing.assert_allclose(speed.y, expected, rtol=1e-5)


def test_null_models_are_drawn_as_asked(exploration):
    for nulls, n in (((), 0), (["twin"], 1), (["walk", "twin"], 2)):
        drawing = exploration.trace(unit=3, **SELECTED, nulls=nulls)
        assert sum(series.role == "null" for series in drawing.series) == n


def test_a_turn_keeps_the_length_of_what_lies_in_the_plane():
    turned = projected(np.eye(3), "3d", (0.0, 0.0))
    np.testing.assert_allclose(turned, [[1, 0, 0], [0, 0, 1]], atol=1e-12)
    from_above = projected(np.eye(3), "3d", (0.0, 90.0))
    np.testing.assert_allclose(from_above, [[1, 0, 0], [0, -1, 0]], atol=1e-12)


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
def test_the_plane_of_an_autoencoder(tmp_path):
    recording = td.synthetic.random_walk(n_samples=40, n_sites=6, n_units=8)
    recording.save(tmp_path / "recording.zarr")
    options = AutoencoderOptions(n_layers=2, n_epochs=2)
    result = td.dimension.autoencoder(recording, bottlenecks=[2], options=options)
    save_result(tmp_path / "results.zarr", "dimension.autoencoder", result)
    row, sample = 1, int(result["scored"].values[1])
    site = recording.sites[2]
    drawing = Exploration(tmp_path).trajectory(sample=sample, site=site, plane="autoencoder")
    path = by_name(drawing)["selected text"]
    np.testing.assert_allclose(path.y, result["latent_path"].values[row, :, 1])
    assert {series.role for series in drawing.series} == {"model"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("trace", {"unit": 999, **SELECTED}, "got unit 999; the page shows 0, 1"),
        ("trace", {"unit": 1, "sample": 99, "site": "final"}, "got sample 99"),
        ("speed", {"sample": 1, "site": "nowhere"}, "got site 'nowhere'"),
        ("speed", {**SELECTED, "nulls": ["twins"]}, "got null 'twins'; the page shows walk, twin"),
        ("trajectory", {**SELECTED, "plane": "4,5"}, "got plane '4,5'; the page shows 1,2"),
        ("trajectory", {**SELECTED, "plane": "autoencoder"}, "no coordinates in the plane"),
    ],
)
def test_what_the_page_does_not_show_is_refused(exploration, name, options, message):
    with pytest.raises(InputError, match=message):
        getattr(exploration, name)(**options)


def test_figures_that_the_files_do_not_hold_are_refused(tmp_path):
    for n_sites in (1, 5):
        recording = td.synthetic.random_walk(n_samples=6, n_sites=n_sites, n_units=4)
        recording.save(tmp_path / f"{n_sites}" / "recording.zarr")
    site = recording.sites[0]
    with pytest.raises(InputError, match="one site and no step"):
        Exploration(tmp_path / "1").speed(sample=0, site=site)
    alone = Exploration(tmp_path / "5")
    with pytest.raises(InputError, match="no result of the correlation"):
        alone.correlation(unit=0, site=site)
    with pytest.raises(InputError, match="did not decode"):
        alone.lens(sample=0)
    with pytest.raises(RecordingError, match="there is no recording"):
        Exploration(tmp_path / "elsewhere")
