import numpy as np
import pytest

from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.measures.paths.kinematics import kinematics
from transformer_dynamics.numerics.standardize import standardization, standardize, unit_moments
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.disk import chunks

MASSIVE = 4


def states(n_samples=30, n_sites=6, n_units=12, dtype=np.float64, seed=0):
    """Walks over depth whose unit 4 is massive, far from the origin, and zero at the first site."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n_samples, n_sites, n_units)).cumsum(axis=1)
    values[..., MASSIVE] = 200 * np.arange(n_sites) + 50 * values[..., MASSIVE]
    values[:, 0, MASSIVE] = 0
    return values.astype(dtype)


def pooled_variance(recording):
    return unit_moments(recording).pooled_variance


def test_moments_are_those_of_numpy():
    values = states()
    moments = unit_moments(Recording.from_array(values))
    np.testing.assert_allclose(moments.mean, values.mean(axis=0))
    np.testing.assert_allclose(moments.variance, values.var(axis=0))
    np.testing.assert_allclose(moments.pooled_variance, values.var(axis=(0, 1)))


def test_a_constant_unit_has_no_variance_and_does_not_count_in_the_median():
    values = np.full((9, 4, 5), 0.1)
    values[..., 0] = np.random.default_rng(0).standard_normal((9, 4))
    variance = pooled_variance(Recording.from_array(values))
    assert (variance[1:] == 0).all()
    massive, scale = standardization(variance)
    assert massive.size == 0
    assert (scale == 1).all()


def test_a_massive_unit_gets_the_median_units_variance():
    recording = Recording.from_array(states())
    before = pooled_variance(recording)
    result = standardize(recording)
    after = pooled_variance(result)
    np.testing.assert_allclose(after[MASSIVE], np.median(before))
    assert standardization(after)[0].size == 0
    assert result.provenance["standardized_unit"] == [MASSIVE]
    np.testing.assert_allclose(
        result.provenance["standardized_factor"], np.sqrt(np.median(before) / before[MASSIVE])
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_other_units_keep_their_bits_and_the_origin_stays(dtype):
    values = states(dtype=dtype)
    before = values.copy()
    result = standardize(Recording.from_array(values))
    np.testing.assert_array_equal(values, before)
    assert result.values.dtype == dtype
    others = np.arange(12) != MASSIVE
    np.testing.assert_array_equal(result.values[..., others], values[..., others])
    assert (result.values[:, 0, MASSIVE] == 0).all()
    expected = values[..., MASSIVE] * np.float64(result.provenance["standardized_factor"][0])
    np.testing.assert_allclose(result.values[..., MASSIVE], expected, rtol=np.finfo(dtype).eps * 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_principal_components_agree_with_those_that_standardize_themselves(dtype):
    recording = Recording.from_array(states(dtype=dtype))
    own = pca(recording, n_components=5, standardize_massive=True)
    found = pca(standardize(recording), n_components=5)
    for name in (
        "loading",
        "explained_variance_ratio",
        "explained_about_global_mean",
        "explained_about_site_mean",
        "score",
        "mean_score",
    ):
        np.testing.assert_allclose(found[name], own[name], rtol=1e-4, atol=1e-5)
    recorded = pca(recording, n_components=5)
    assert abs(recorded["explained_variance_ratio"] - own["explained_variance_ratio"])[0] > 0.3


def test_without_a_massive_unit_nothing_changes():
    recording = Recording.from_array(np.random.default_rng(1).standard_normal((9, 4, 5)))
    result = standardize(recording)
    np.testing.assert_array_equal(result.values, recording.values)
    assert result.provenance["standardized_unit"] == []


def test_a_recording_on_disk_stays_there(tmp_path, monkeypatch):
    recording = Recording.from_array(states(dtype=np.float32))
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7 * 6 * 12 * 4)
    recording.save(tmp_path / "states.zarr")
    stored = open_recording(tmp_path / "states.zarr")
    result = standardize(stored)
    assert not stored.in_memory
    assert not result.in_memory
    speed = kinematics(result)["speed"]
    assert not result.in_memory
    expected = standardize(recording)
    np.testing.assert_allclose(speed, kinematics(expected)["speed"], rtol=1e-6)
    np.testing.assert_array_equal(result.values, expected.values)


def test_moments_in_pieces_have_the_bits_of_one_sum(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((700, 3, 5)) * 10 + 1000
    values[0] += 1e4  # an outlier first
    values[..., 2] = 7.0
    monkeypatch.setattr(chunks, "CHUNK_BYTES", values[:90].nbytes)
    Recording.from_array(values).save(tmp_path / "values.zarr")
    shifted = values - values[0]
    for recording in (Recording.from_array(values), open_recording(tmp_path / "values.zarr")):
        moments = unit_moments(recording)
        np.testing.assert_array_equal(moments.mean, values[0] + shifted.mean(axis=0))
        np.testing.assert_array_equal(moments.variance, shifted.var(axis=0))
