import numpy as np
import pytest

import orbit_maps as maps
from transformer_dynamics.measures.orbits.traces import relative, robust_scores, subset
from transformer_dynamics.nulls.trace_surrogates import flipped_signs, shared_phases
from transformer_dynamics.recording import Recording

SHAPE = (20, 3, 61)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_flipped_signs_keep_the_first_site_and_the_sizes():
    traces = maps.walks(SHAPE, shared=1.0, growth=1.05)
    flipped = flipped_signs(traces, rng())
    np.testing.assert_array_equal(flipped[..., 0], traces[..., 0])
    ratio = np.diff(flipped, axis=-1) / np.diff(traces, axis=-1)
    np.testing.assert_allclose(np.abs(ratio), 1, rtol=1e-6)
    # One sign per unit and step, the same for all samples, and both signs occur.
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-6)
    assert set(np.sign(ratio[0]).ravel()) == {-1.0, 1.0}
    assert not np.array_equal(np.sign(ratio[0, 0]), np.sign(ratio[0, 1]))


def test_shared_phases_keep_the_values_and_nearly_the_spectrum():
    traces = maps.linear_noise(-0.7, (200, 2, 64), seed=1)
    surrogate = shared_phases(traces, rng())
    np.testing.assert_array_equal(np.sort(surrogate), np.sort(traces))
    power = [
        np.mean(np.abs(np.fft.rfft(x, axis=-1)) ** 2, axis=0)[:, 1:] for x in (traces, surrogate)
    ]
    # The share of power in the upper half of the frequencies; of white noise one half.
    shares = [spectrum[:, 16:].sum() / spectrum.sum() for spectrum in power]
    assert shares[0] > 0.8
    assert shares[1] == pytest.approx(shares[0], abs=0.06)
    assert abs(np.corrcoef(traces[:, 0].ravel(), surrogate[:, 0].ravel())[0, 1]) < 0.3


def test_shared_phases_keep_what_samples_share():
    traces = maps.linear_noise(0.5, (40, 1, 64), shared=3.0)

    def shared(x):
        return x[:, 0].mean(axis=0).var() / x[:, 0].var()

    assert shared(traces) > 0.8
    assert shared(shared_phases(traces, rng())) == pytest.approx(shared(traces), rel=0.15)


def test_shared_phases_have_no_time_direction():
    """A saw-tooth rises slowly and falls at once; its surrogate does both alike."""
    saw = (np.arange(64) + rng().integers(0, 16, (50, 1, 1))) % 16.0
    surrogates = [shared_phases(saw, rng(seed)) for seed in range(60)]
    skew = [np.mean(np.diff(x, axis=-1) ** 3) for x in (saw, np.stack(surrogates))]
    assert abs(skew[1]) < 0.1 * abs(skew[0])


def test_relative_traces_have_one_size_at_every_site():
    traces = maps.walks(SHAPE, growth=1.2)
    np.testing.assert_allclose(np.median(np.abs(relative(traces)), axis=(0, 1)), 1)
    traces[..., 4] = 0
    assert np.isfinite(relative(traces)).all()


def test_robust_scores_of_normal_values_have_deviation_one():
    values = 5 + 3 * rng().standard_normal((400, 2, 60))
    scaled, middle, deviation = robust_scores(values)
    np.testing.assert_allclose(middle, 5, atol=0.1)
    np.testing.assert_allclose(deviation, 3, rtol=0.03)
    np.testing.assert_allclose(scaled * deviation[:, None] + middle[:, None], values)
    assert np.isnan(robust_scores(np.ones((3, 2, 4)))[0]).all()


def test_subset_is_fixed_and_of_a_small_recording_all():
    recording = Recording.from_array(rng().standard_normal((9, 4, 30)))
    few = subset(recording, 5, 7)
    assert few.shape == (5, 4, 7)
    numbers = few.dataset["unit"].values
    assert (np.diff(numbers) > 0).all()
    rows = [
        int(np.flatnonzero((recording.values == one[None]).all((1, 2)))[0])
        for one in np.stack([recording.values[n] for n in few.text_index])
    ]
    np.testing.assert_array_equal(few.values, recording.values[rows][:, :, numbers])
    np.testing.assert_array_equal(subset(few, 5, 7).values, few.values)
    np.testing.assert_array_equal(subset(few, 5, 7).dataset["unit"].values, numbers)
    np.testing.assert_array_equal(subset(recording, 5, 7).values, few.values)
    assert not np.array_equal(subset(recording, 5, 7, seed=1).values, few.values)
    assert subset(recording, 99, 99).shape == recording.shape
