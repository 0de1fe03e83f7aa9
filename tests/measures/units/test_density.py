import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.units.density import density, density_indices, treves_rolls
from transformer_dynamics.plots.units.density import draw_density
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

NAMES = ("absolute_share", "relative_share", "treves_rolls", "norm", "mean_absolute")


def gaussian_states(seed=0, shape=(20, 4, 50)):
    return np.random.default_rng(seed).standard_normal(shape)


def test_one_hot_states():
    states = np.zeros((1, 3, 8), dtype=np.float32)
    states[0, :, 5] = [0.01, 2.0, -24994.0]
    result = density(Recording.from_array(states))
    np.testing.assert_allclose(result["treves_rolls"][0], 1 / 8, rtol=1e-12)
    np.testing.assert_allclose(result["relative_share"][0], 1 / 8)
    np.testing.assert_allclose(result["absolute_share"][0], [0, 1 / 8, 1 / 8])
    np.testing.assert_allclose(result["norm"][0], [0.01, 2.0, 24994.0])
    np.testing.assert_allclose(result["mean_absolute"][0], [0.01 / 8, 0.25, 24994.0 / 8])


def test_states_of_equal_magnitude_have_density_one():
    states = np.array([[[3.0, -3.0, 3.0, 3.0], [0.5, 0.5, -0.5, 0.5]]])
    result = density(Recording.from_array(states))
    assert result["treves_rolls"].values.tolist() == [[1.0, 1.0]]
    assert result["relative_share"].values.tolist() == [[1.0, 1.0]]
    assert result["absolute_share"].values.tolist() == [[1.0, 0.0]]


def test_gaussian_states():
    result = density(Recording.from_array(gaussian_states(shape=(50, 2, 4000))))
    assert result["treves_rolls"].mean().item() == pytest.approx(2 / np.pi, abs=0.003)
    assert result["relative_share"].mean().item() == pytest.approx(0.6171, abs=0.005)
    assert result["absolute_share"].mean().item() == pytest.approx(0.3173, abs=0.005)


def test_each_index_against_its_formula():
    states = gaussian_states()
    result = density_indices(states, threshold=0.7, relative_threshold=1.3)
    magnitude = np.abs(states)
    rms = np.sqrt((states**2).mean(axis=2, keepdims=True))
    expected = {
        "absolute_share": (magnitude > 0.7).mean(axis=2),
        "relative_share": (magnitude > 1.3 * rms).mean(axis=2),
        "treves_rolls": magnitude.mean(axis=2) ** 2 / (states**2).mean(axis=2),
        "norm": np.linalg.norm(states, axis=2),
        "mean_absolute": magnitude.mean(axis=2),
    }
    assert tuple(result) == NAMES
    for name, values in expected.items():
        np.testing.assert_allclose(result[name], values, rtol=1e-12)


def test_the_lean_kernel_is_the_same_index():
    states = gaussian_states().astype(np.float32)
    expected = density_indices(states, threshold=1.0, relative_threshold=0.5)["treves_rolls"]
    np.testing.assert_array_equal(treves_rolls(states), expected)


@settings(max_examples=40)
@given(exponent=st.integers(-60, 60), seed=st.integers(0, 1000))
def test_the_relative_indices_do_not_change_with_scale(exponent, seed):
    # A power of two scales without rounding, so that no value crosses the threshold by rounding.
    states = gaussian_states(seed, (3, 2, 17))
    plain = density_indices(states, threshold=1.0, relative_threshold=0.5)
    scaled = density_indices(states * 2.0**exponent, threshold=1.0, relative_threshold=0.5)
    np.testing.assert_array_equal(scaled["relative_share"], plain["relative_share"])
    np.testing.assert_allclose(scaled["treves_rolls"], plain["treves_rolls"], rtol=1e-12)
    np.testing.assert_allclose(scaled["norm"], plain["norm"] * 2.0**exponent, rtol=1e-12)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), n_units=st.integers(1, 40))
def test_density_lies_between_one_over_d_and_one(seed, n_units):
    result = treves_rolls(np.random.default_rng(seed).standard_cauchy((4, 2, n_units)))
    assert (result >= 1 / n_units - 1e-12).all()
    assert (result <= 1 + 1e-12).all()


def test_absolute_density_rises_with_the_norm_alone():
    states = gaussian_states(shape=(10, 1, 500)) * np.array([1, 2, 4, 8])[:, np.newaxis]
    result = density(Recording.from_array(states)).mean("sample")
    assert (np.diff(result["absolute_share"]) > 0.05).all()
    np.testing.assert_allclose(result["treves_rolls"], result["treves_rolls"][0])
    np.testing.assert_allclose(result["norm"] / result["norm"][0], [1, 2, 4, 8])


@pytest.mark.parametrize(
    ("bad", "undefined"),
    [(0.0, ("relative_share", "treves_rolls")), (np.nan, NAMES), (np.inf, NAMES)],
)
def test_undefined_states_give_nan_and_one_warning(bad, undefined):
    states = gaussian_states()
    states[2, 1] = bad
    recording = Recording.from_array(states)
    calls = [lambda: density(recording), lambda: {"treves_rolls": treves_rolls(states)}]
    results = [density_indices(states, threshold=1.0, relative_threshold=0.5)]
    for call in calls:
        with warnings.catch_warnings(record=True) as given_warnings:
            warnings.simplefilter("always")
            results.append(call())
        assert [warning.category for warning in given_warnings] == [UndefinedWarning]
        assert given_warnings[0].filename == __file__
    for result in results:
        for name in result:
            expected = [[2, 1]] if name in undefined else []
            assert np.argwhere(np.isnan(np.asarray(result[name]))).tolist() == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": -1.0}, "got threshold=-1.0"),
        ({"threshold": np.inf}, "got threshold=inf"),
        ({"relative_threshold": np.nan}, "got relative_threshold=nan"),
        ({"relative_threshold": -0.5}, "got relative_threshold=-0.5"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        density(Recording.from_array(gaussian_states()), **options)


def test_states_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(sample, site, unit\)"):
        treves_rolls(np.ones((3, 4)))


def test_the_result_says_what_it_is():
    recording = Recording.from_array(gaussian_states())
    before = recording.values.copy()
    result = density(recording, threshold=2.0)
    np.testing.assert_array_equal(recording.values, before)
    assert attribute(result, "parameters") == {"threshold": 2.0, "relative_threshold": 0.5}
    assert all(result[name].dims == ("sample", "site") for name in NAMES)
    assert all({"units", "denominator"} <= set(result[name].attrs) for name in NAMES)
    assert result["absolute_share"].attrs["denominator"] == "units of the state (50)"


def test_the_drawings():
    result = density(Recording.from_array(gaussian_states()))
    indices, norm = draw_density(result)
    assert len(indices.series) == 3
    assert norm.y_scale == "log"
    np.testing.assert_allclose(norm.series[0].y, result["norm"].mean("sample"))
    np.testing.assert_allclose(norm.series[0].high, np.quantile(result["norm"], 0.95, axis=0))
    for drawing in (indices, norm):
        assert drawing.plot().get_ylabel()
        assert len(drawing.figure().data) >= 2
