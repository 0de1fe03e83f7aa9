import warnings

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.paths.geometry import path_geometry
from transformer_dynamics.measures.paths.kinematics import kinematics
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.disk import chunks
from transformer_dynamics.storage.attributes import attribute
from transformer_dynamics.storage.results import load_result, save_result

UNDEFINED = pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
MEASURES = pytest.mark.parametrize("measured", [kinematics, path_geometry])


def of_texts(paths, *, first=0, labels=None):
    """A recording of texts given as paths `(token, site, unit)`."""
    labels = range(len(paths)) if labels is None else labels
    sizes = [len(path) for path in paths]
    coords = {
        "text": np.repeat(list(labels), sizes),
        "position": np.concatenate([first + np.arange(size) for size in sizes]),
    }
    return Recording.from_array(np.concatenate(paths), coords=coords)


def ragged(sizes=(5, 3, 8), n_sites=4, n_units=6, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((size, n_sites, n_units)).cumsum(axis=0) for size in sizes]


def plane(path, n_sites=2):
    """A path in the plane that is the same at every site."""
    return np.repeat(np.array(path, dtype=float)[:, np.newaxis], n_sites, axis=1)


@UNDEFINED
@pytest.mark.parametrize(
    ("path", "angle", "length", "tortuosity"),
    [
        ([[0, 0], [3, 4], [6, 8], [9, 12]], 0, 15, 1),
        ([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2]], np.pi / 2, 4, 2**0.5),
        ([[1, 1], [2, 1], [1, 1], [2, 1]], np.pi, 3, 3),
    ],
    ids=["straight line", "right angles", "ping-pong"],
)
def test_plane_paths_along_tokens(path, angle, length, tortuosity):
    # Beside a text of another length and shape, so that texts that run into each other are noticed.
    recording = of_texts([plane([[5, 5], [5, 9], [7, 9]]), plane(path)])
    result = path_geometry(recording, axis="token")
    own = result["turn_text"].values == 1
    np.testing.assert_allclose(result["turning_angle"].values[own], angle, atol=1e-15)
    np.testing.assert_allclose(result["mean_turning_angle"].sel(text=1), angle, atol=1e-15)
    np.testing.assert_allclose(result["path_length"].sel(text=1), length)
    np.testing.assert_allclose(result["tortuosity"].sel(text=1), tortuosity)
    speed = kinematics(recording, axis="token")["mean_speed"].sel(text=1)
    np.testing.assert_allclose(speed, length / (len(path) - 1))


@MEASURES
def test_one_text_at_one_site_is_the_same_path_over_depth(measured):
    """Tokens in the place of sites: the same numbers, whichever axis the path runs along."""
    for path in ragged():
        recording = of_texts([path])
        along = measured(recording, axis="token")
        over = measured(Recording.from_array(path.transpose(1, 0, 2)))
        for name in over.data_vars:
            dims = along[name].dims
            values = along[name].values[0] if "text" in dims else along[name].values.T
            np.testing.assert_array_equal(values, over[name])


@MEASURES
def test_texts_do_not_touch(measured):
    paths = ragged()
    together = measured(of_texts(paths), axis="token")
    for text, path in enumerate(paths):
        alone = measured(of_texts([path], labels=[text]), axis="token")
        for name in alone.data_vars:
            dim = alone[name].dims[0]
            prefix = {"token_step": "step", "token_turn": "turn"}.get(dim, "token")
            owner = together["text" if dim == "text" else f"{prefix}_text"].values
            np.testing.assert_array_equal(together[name].values[owner == text], alone[name])


@UNDEFINED
def test_points_say_which_token_they_are():
    result = kinematics(of_texts(ragged((4, 1, 3)), first=2, labels=[7, 8, 9]), axis="token")
    assert result["text"].values.tolist() == [7, 8, 9]
    assert result["n_tokens"].values.tolist() == [4, 1, 3]
    assert result["token_position"].values.tolist() == [2, 3, 4, 5, 2, 2, 3, 4]
    assert result["step_text"].values.tolist() == [7, 7, 7, 9, 9]
    assert result["step_position"].values.tolist() == [2, 3, 4, 2, 3]
    assert result["turn_text"].values.tolist() == [7, 7, 9]
    assert result["turn_position"].values.tolist() == [3, 4, 3]
    assert result["speed"].dims == ("token_step", "site")
    assert result["mean_speed"].dims == ("text", "site")


def test_means_are_over_the_points_of_a_text():
    paths = ragged((6, 4))
    result = kinematics(of_texts(paths), axis="token")
    for text, path in enumerate(paths):
        for site in range(path.shape[1]):
            steps = np.diag(cdist(path[:, site], path[:, site]), 1)
            np.testing.assert_allclose(result["mean_speed"][text, site], steps.mean())


def test_a_walk_turns_by_right_angles_and_its_permuted_tokens_by_two_thirds_pi():
    result = path_geometry(of_texts(ragged((40,) * 12, n_sites=3, n_units=500)), axis="token")
    assert abs(float(result["mean_turning_angle"].mean()) - np.pi / 2) < 0.005
    assert abs(float(result["mean_turning_angle_permuted"].mean()) - 2 * np.pi / 3) < 0.03
    # Tokens in order cover 39 steps of equal length at right angles, end to end sqrt(39).
    np.testing.assert_allclose(result["tortuosity"].mean(), np.sqrt(39), rtol=0.02)
    assert (result["tortuosity_permuted"] > result["tortuosity"]).mean() > 0.9


@pytest.mark.parametrize("n_units", [1, 2, 300])
def test_permuted_tokens_turn_by_two_thirds_pi_on_average_whatever_the_states(n_units):
    """The angles of the triangle of three states sum to pi, so the mean over orders is exact."""
    path = ragged((6,), n_sites=1, n_units=n_units, seed=n_units)[0] ** 3
    texts = [path] * 1500
    angles = path_geometry(of_texts(texts), axis="token")["mean_turning_angle_permuted"].values
    error = angles.std() / np.sqrt(len(texts))
    assert abs(angles.mean() - 2 * np.pi / 3) < 4 * error


def test_permuting_changes_the_order_and_nothing_else():
    recording = of_texts(ragged((30, 20)))
    result = kinematics(recording, axis="token", seed=1)
    again = kinematics(recording, axis="token", seed=1)
    other = kinematics(recording, axis="token", seed=2)
    name = "mean_speed_permuted"
    np.testing.assert_array_equal(result[name], again[name])
    assert (result[name] != other[name]).all()
    np.testing.assert_array_equal(result["speed"], other["speed"])
    assert (result[name] > result["mean_speed"]).all()  # a walk's neighbors are near
    assert "mean_norm_permuted" not in result


def test_all_sites_share_a_permutation():
    path = ragged((20,), n_sites=1)[0]
    rotation = ortho_group.rvs(6, random_state=0)
    sites = np.concatenate([path, 3 * path @ rotation], axis=1)
    result = path_geometry(of_texts([sites]), axis="token")
    angles = result["mean_turning_angle_permuted"].values[0]
    np.testing.assert_allclose(angles[0], angles[1])


@MEASURES
def test_the_order_of_samples_is_that_of_positions(measured):
    recording = of_texts(ragged())
    shuffled = recording.isel(sample=np.random.default_rng(3).permutation(16))
    expected, found = (measured(each, axis="token") for each in (recording, shuffled))
    for name in expected.variables:
        np.testing.assert_array_equal(found[name], expected[name])


def test_without_positions_samples_come_in_order():
    paths = ragged()
    text = np.repeat([0, 1, 2], [5, 3, 8])
    unplaced = Recording.from_array(np.concatenate(paths), coords={"text": text})
    expected = path_geometry(of_texts(paths), axis="token")["turning_angle"]
    np.testing.assert_array_equal(path_geometry(unplaced, axis="token")["turning_angle"], expected)


@pytest.mark.parametrize("positions", [[0, 1, 3, 4], [0, 1, 1, 2]])
@MEASURES
def test_positions_with_a_gap_are_refused(measured, positions):
    coords = {"text": np.zeros(4, dtype=int), "position": positions}
    recording = Recording.from_array(np.ones((4, 2, 3)), coords=coords)
    with pytest.raises(ValueError, match=r"of text 0 with none between.*positions='all'"):
        measured(recording, axis="token")


@pytest.mark.parametrize(("measured", "needed"), [(kinematics, 2), (path_geometry, 3)])
def test_recordings_of_too_few_tokens_are_refused_with_the_call_that_works(measured, needed):
    last = Recording.from_array(np.ones((5, 4, 3)))
    with pytest.raises(ValueError, match=rf"needs {needed} of .*td\.record\(.*positions='all'\)"):
        measured(last, axis="token")


@MEASURES
def test_unknown_axes_are_refused(measured):
    with pytest.raises(ValueError, match="'depth' or along the tokens"):
        measured(of_texts(ragged()), axis="site")


@MEASURES
def test_texts_of_too_few_tokens_are_nan_with_one_warning(measured):
    recording = of_texts(ragged((5, 1, 2)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measured(recording, axis="token")
        for drawing in result.td.drawings:
            drawing.plot()
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert caught[0].filename == __file__
    assert "too few tokens" in str(caught[0].message)
    name = "mean_speed" if measured is kinematics else "tortuosity"
    turn = "mean_acceleration" if measured is kinematics else "mean_turning_angle"
    assert np.isnan(result[name]).all("site").values.tolist() == [False, True, False]
    assert np.isnan(result[turn]).all("site").values.tolist() == [False, True, True]


def test_repeated_states_are_left_out_of_the_mean():
    path = plane([[0, 0], [1, 0], [1, 0], [1, 1], [2, 1]])
    with pytest.warns(UndefinedWarning, match="4 of 6 values of turning_angle"):
        result = path_geometry(of_texts([path]), axis="token")
    np.testing.assert_allclose(result["mean_turning_angle"], np.pi / 2)


@MEASURES
def test_texts_that_cross_blocks_on_disk_stay_whole(measured, tmp_path, monkeypatch):
    recording = of_texts(ragged((9, 4, 1, 30, 7)))
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 6 * 4 * 6 * 8)
    recording.save(tmp_path / "texts.zarr")
    stored = open_recording(tmp_path / "texts.zarr")
    stored = Recording(stored.dataset.chunk({"sample": 6}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        expected, found = (measured(each, axis="token") for each in (recording, stored))
    assert not stored.in_memory
    assert found.sizes == expected.sizes
    for name in expected.variables:
        np.testing.assert_array_equal(found[name], expected[name])
    unordered = stored.isel(sample=np.arange(51)[::-1])
    with pytest.raises(ValueError, match=r"recording\.load\(\)"):
        measured(unordered, axis="token")


@MEASURES
def test_results_keep_their_attrs_and_drawings_on_disk(measured, tmp_path):
    result = measured(of_texts(ragged((12, 9, 10))), axis="token")
    save_result(tmp_path / "results.zarr", "along", result)
    back = load_result(tmp_path / "results.zarr", "along")
    assert attribute(back, "parameters") == {"axis": "token", "seed": 0}
    assert all("units" in back[name].attrs for name in back.data_vars)
    assert all("definition" in back[name].attrs for name in back.data_vars)
    for drawing in back.td.drawings:
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.x_label == "site (index)"
        assert drawing.plot().get_ylabel() == drawing.y_label
        assert drawing.figure().data


def test_drawings_show_the_permuted_tokens_beside():
    result = path_geometry(of_texts(ragged((12, 9, 10))), axis="token")
    model, null, *references = result.td.drawings[0].series
    np.testing.assert_allclose(model.y, result["mean_turning_angle"].mean("text"))
    np.testing.assert_allclose(null.y, result["mean_turning_angle_permuted"].mean("text"))
    assert null.role == "null"
    assert "over texts" in model.name
    assert [line.y[0] for line in references] == [np.pi / 2, 2 * np.pi / 3]


def test_over_depth_every_drawing_says_what_it_shows():
    recording = Recording.from_array(np.random.default_rng(0).standard_normal((5, 4, 3)))
    for measured in (kinematics, path_geometry):
        drawings = measured(recording).td.drawings
        assert all(drawing.caption for drawing in drawings)
        assert all(drawing.interpretation for drawing in drawings)
