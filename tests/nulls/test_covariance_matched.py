import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.nulls.covariance_matched import covariance_matched
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import NULLS


def structured(dtype=np.float32, *, scale=1.0):
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((400, 9, 6)) * np.arange(1, 7) + rng.standard_normal((9, 6))
    return Recording.from_array(
        (scale * steps.cumsum(axis=1)).astype(dtype), provenance={"system": "structured"}
    )


def across(recording, pairs):
    values = recording.values.astype(np.float64)
    deviations = values - values.mean(axis=0)
    return np.einsum(pairs, deviations, deviations) / (len(values) - 1)


def test_registered_with_what_it_keeps_and_destroys():
    entry = NULLS.get("covariance_matched")
    assert entry.function is covariance_matched
    assert "mean" in entry.keeps
    assert "rotation" in entry.destroys
    assert not entry.needs_model
    assert entry.of == "recording"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_mean_is_kept_and_covariances_on_average(dtype):
    recording = structured(dtype)
    null = covariance_matched(recording, seed=1)
    assert null.values.dtype == dtype
    assert null.shape == recording.shape
    mean = recording.values.mean(axis=0, dtype=np.float64)
    digits = {np.float16: 5e-3, np.float32: 1e-5, np.float64: 1e-12}[dtype]
    np.testing.assert_allclose(null.values.mean(axis=0, dtype=np.float64), mean, atol=digits)
    for pairs in ("nsu,ntu->st", "nsu,nsv->uv"):
        expected = across(recording, pairs)
        np.testing.assert_allclose(
            across(null, pairs), expected, atol=0.15 * np.abs(expected).max()
        )


def test_turning_is_destroyed_and_smoothness_kept():
    recording = synthetic.rotation(n_samples=300, n_sites=21, n_units=6, turns=1.0)
    null = covariance_matched(recording)

    def lead(values):
        x, y = values[:, :, 0].astype(float), values[:, :, 1].astype(float)
        return np.mean(x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1])

    def roughness(values):
        return np.square(np.diff(values, axis=1)).sum() / np.square(values).sum()

    assert abs(lead(null.values)) < 0.1 * lead(recording.values)
    np.testing.assert_allclose(roughness(null.values), roughness(recording.values), rtol=0.15)


def test_what_is_not_gaussian_is_destroyed():
    rng = np.random.default_rng(3)
    two_clusters = np.sign(rng.standard_normal((500, 4, 1))) * np.ones(3) * 5
    values = two_clusters + 0.1 * rng.standard_normal((500, 4, 3))
    drawn = covariance_matched(Recording.from_array(values)).values
    assert (np.abs(values) > 3).all()
    assert (np.abs(drawn) < 3).mean() > 0.3


def test_seed_provenance_and_input():
    recording = structured()
    before = recording.values.copy()
    first, again, other = (covariance_matched(recording, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)
    np.testing.assert_array_equal(recording.values, before)
    assert first.provenance == {"system": "structured", "null": "covariance_matched", "seed": 1}
    assert first.sites == recording.sites


def test_one_sample_comes_back():
    recording = Recording.from_array(structured().values[:1])
    np.testing.assert_array_equal(covariance_matched(recording).values, recording.values)


def test_what_is_refused():
    values = structured().values.copy()
    values[3, 2, 1] = np.nan
    with pytest.raises(RecordingError, match=r"recording\.isel"):
        covariance_matched(Recording.from_array(values))
    # One sample far out is within the range; a Gaussian of its spread among few is not always.
    edge = np.zeros((4, 2, 1), dtype=np.float16)
    edge[::2] = 65000
    with pytest.raises(RecordingError, match=r"astype\('float32'\)"):
        covariance_matched(Recording.from_array(edge))
