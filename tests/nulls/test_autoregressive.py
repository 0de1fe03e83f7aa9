"""Increments drawn from a fitted autoregressive process: known coefficients come back."""

import numpy as np
import pytest
from scipy.signal import lfilter

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.nulls import autoregressive_increments
from transformer_dynamics.recording import Recording

N_STEPS = 60
SITES = transformer_labels(N_STEPS // 2)


def process(phi, *, n_units, n_steps=N_STEPS, seed=0):
    """Stationary increments `(step, unit)` of variance about 1, by a filter with a long run-in."""
    noise = np.random.default_rng(seed).standard_normal((500 + n_steps, n_units))
    steps = lfilter([1.0], [1.0, -phi[0], -phi[1]], noise, axis=0)[500:]
    return steps / steps.std()


def recording_of(steps, **options):
    steps = np.asarray(steps)[np.newaxis] if np.ndim(steps) == 2 else steps
    first = np.zeros((len(steps), 1, steps.shape[2]))
    return Recording.from_array(
        np.concatenate([first, np.cumsum(steps, axis=1)], axis=1), **options
    )


def increments(recording):
    return np.diff(recording.values.astype(np.float64), axis=1)


def autocorrelations(steps):
    """Lags 1 and 2, pooled over samples and units, of increments `(sample, step, unit)`."""
    power = np.square(steps).mean()
    return [(steps[:, lag:] * steps[:, :-lag]).mean() / power for lag in (1, 2)]


@pytest.mark.parametrize("phi", [(-0.5, 0.2), (0.6, -0.3), (-0.3, -0.4), (0.0, 0.0)])
def test_known_coefficients_and_autocorrelations_come_back(phi):
    # Sizes of units over six orders of magnitude, and an envelope that grows and alternates.
    sizes = np.geomspace(1e-3, 1e3, 576)
    envelope = np.exp(0.05 * np.arange(N_STEPS)) * np.where(np.arange(N_STEPS) % 2, 2.0, 1.0)
    steps = process(phi, n_units=576) * sizes * envelope[:, np.newaxis]
    recording = recording_of(steps, sites=SITES)
    drawn = [autoregressive_increments(recording, seed=seed) for seed in range(5)]
    np.testing.assert_allclose(drawn[0].provenance["coefficients"], phi, atol=0.02)
    first = phi[0] / (1 - phi[1])
    for steps_of in (increments(recording), *map(increments, drawn)):
        found = autocorrelations(steps_of / sizes / envelope[:, np.newaxis])
        np.testing.assert_allclose(found, [first, phi[0] * first + phi[1]], atol=0.04)


def test_size_over_depth_and_of_each_unit_is_kept_in_expectation():
    sizes = np.geomspace(0.1, 10, 300)
    envelope = np.exp(0.08 * np.arange(N_STEPS)) * np.where(np.arange(N_STEPS) % 2, 3.0, 1.0)
    recording = recording_of(
        process((-0.4, 0.1), n_units=300) * sizes * envelope[:, np.newaxis], sites=SITES
    )
    drawn = np.concatenate(
        [increments(autoregressive_increments(recording, seed=seed)) for seed in range(200)]
    )
    over_depth = np.sqrt(np.square(drawn / sizes).mean(axis=(0, 2)))
    np.testing.assert_allclose(over_depth / over_depth[0], envelope / envelope[0], rtol=0.2)
    own = np.square(increments(recording)[0] / envelope[:, np.newaxis]).mean(axis=0)
    found = np.square(drawn / envelope[:, np.newaxis]).mean(axis=(0, 1))
    np.testing.assert_allclose(found, own, rtol=0.15)


def test_the_first_increments_have_the_distribution_of_all():
    recording = recording_of(process((0.9, -0.5), n_units=2000))
    drawn = increments(autoregressive_increments(recording, seed=4))[0]
    size = np.sqrt(np.square(increments(recording)[0]).mean(axis=1))
    np.testing.assert_allclose(np.sqrt(np.square(drawn).mean(axis=1)), size, rtol=0.1)
    for step in (0, 1, 2, 30):
        correlation = np.corrcoef(drawn[step], drawn[step + 1])[0, 1]
        assert correlation == pytest.approx(0.6, abs=0.08)


def test_the_coefficients_of_a_massive_unit_do_not_decide():
    steps = process((0.5, 0.0), n_units=200)
    steps[:, 7] = 1e4 * process((-0.8, 0.0), n_units=1, seed=1)[:, 0]
    drawn = autoregressive_increments(recording_of(steps))
    np.testing.assert_allclose(drawn.provenance["coefficients"], [0.5, 0.0], atol=0.05)
    sizes = np.sqrt(np.square(increments(drawn)[0]).mean(axis=0))
    assert sizes[7] > 1e3 * np.delete(sizes, 7).max()


def test_a_higher_order_keeps_more_lags():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((N_STEPS + 3, 400))
    recording = recording_of(noise[3:] + 0.9 * noise[:-3])  # correlated at lag 3 alone
    lag_three = {}
    for order in (2, 3):
        drawn = autoregressive_increments(recording, order=order, seed=1)
        assert len(drawn.provenance["coefficients"]) == order
        steps = increments(drawn)[0]
        lag_three[order] = (steps[3:] * steps[:-3]).mean() / np.square(steps).mean()
    assert abs(lag_three[2]) < 0.03
    assert lag_three[3] == pytest.approx(0.9 / 1.81, abs=0.04)


def test_samples_and_units_are_independent():
    recording = recording_of(np.tile(process((0.5, 0.0), n_units=1), (20, 1, 30)))
    drawn = increments(autoregressive_increments(recording, seed=2))
    np.testing.assert_allclose(np.std(drawn), np.std(increments(recording)), rtol=0.1)
    assert np.std(drawn.mean(axis=0)) < 1.5 * np.std(drawn) / np.sqrt(20)
    assert np.std(drawn.mean(axis=2)) < 1.5 * np.std(drawn) / np.sqrt(30)


@pytest.mark.filterwarnings("error")
def test_recordings_that_hardly_move():
    still = Recording.from_array(np.tile([[1.5, -2.0]], (3, 7, 1)))
    np.testing.assert_array_equal(autoregressive_increments(still).values, still.values)
    values = synthetic.random_walk(n_samples=1, n_sites=9, n_units=4).values.copy()
    values[..., 2] = 5.0
    values[:, 4] = values[:, 3]  # no unit moves at this step
    drawn = autoregressive_increments(Recording.from_array(values), seed=1)
    assert np.isfinite(drawn.values).all()
    np.testing.assert_array_equal(drawn.values[..., 2], 5.0)


@pytest.mark.filterwarnings("error")
def test_a_straight_line_stays_straight():
    line = synthetic.line(n_samples=5, n_sites=20, n_units=6)
    drawn = increments(autoregressive_increments(line, seed=0))
    np.testing.assert_allclose(drawn, np.broadcast_to(drawn[:, :1], drawn.shape), atol=1e-5)


def test_an_order_below_one_is_refused():
    with pytest.raises(InputError, match=r"got order=0; .*order=2"):
        autoregressive_increments(synthetic.line(), order=0)
