"""Walks at some sites, or of means of samples, are distributed as those of the whole recording."""

import numpy as np
import pytest

from transformer_dynamics.nulls import random_walk
from transformer_dynamics.nulls.random_walk import matched_walk
from transformer_dynamics.recording.recording import Recording

SITES = np.array([2, 5])
N_DRAWS = 300


def recording(n_samples, n_units=3):
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((n_samples, 6, n_units)) @ rng.standard_normal((n_units, n_units))
    drift = np.linspace(0.2, 1, 6)[:, np.newaxis] * np.arange(1, n_units + 1)
    return Recording.from_array((steps + drift).cumsum(axis=1))


def moments(paths):
    """Mean and covariance over draws of paths `(draw, ...)`."""
    flat = paths.reshape(len(paths), -1)
    return flat.mean(axis=0), np.cov(flat.T)


@pytest.mark.parametrize("n_samples", [2, 12], ids=["factor of steps", "factor of covariances"])
def test_walks_at_some_sites_have_the_moments_of_whole_walks(n_samples):
    given = recording(n_samples, n_units=2 if n_samples == 12 else 6)
    walk = matched_walk(given, given.values[:2, 0], sites=SITES)
    found = np.stack([walk.draw(seed) for seed in range(N_DRAWS)])
    whole = np.stack(
        [random_walk(given, seed=seed).values[:2][:, SITES] for seed in range(N_DRAWS)]
    )
    (mean, covariance), (expected, spread) = moments(found), moments(whole)
    scale = np.sqrt(np.diag(spread))
    np.testing.assert_allclose((mean - expected) / scale, 0, atol=6 * np.sqrt(2 / N_DRAWS))
    np.testing.assert_allclose(
        (covariance - spread) / np.outer(scale, scale), 0, atol=6 * np.sqrt(2 / N_DRAWS)
    )


def test_walks_of_means_have_the_moments_of_means_of_walks():
    given, halves = recording(12), (np.arange(8), np.arange(8, 12))
    start = np.stack([given.values[half, 0].mean(axis=0) for half in halves])
    walk = matched_walk(given, start, sizes=[8, 4])
    found = np.stack([walk.draw(seed) for seed in range(N_DRAWS)])
    assert np.array_equal(found[0, :, 0], start)
    whole = np.empty_like(found)
    for seed in range(N_DRAWS):
        values = random_walk(given, seed=seed).values
        whole[seed] = np.stack([values[half].mean(axis=0) for half in halves])
    (mean, covariance), (expected, spread) = moments(found[:, :, 1:]), moments(whole[:, :, 1:])
    scale = np.sqrt(np.diag(spread))
    np.testing.assert_allclose((mean - expected) / scale, 0, atol=6 * np.sqrt(2 / N_DRAWS))
    np.testing.assert_allclose(
        (covariance - spread) / np.outer(scale, scale), 0, atol=6 * np.sqrt(2 / N_DRAWS)
    )


def test_the_first_site_is_kept_and_one_sample_has_no_centered_part():
    given = recording(12)
    walk = matched_walk(given, given.values[:, 0], sites=[0, 5])
    np.testing.assert_array_equal(walk.draw(1)[:, 0], given.values[:, 0])
    alone = given.isel(sample=[3, 3])
    steps = np.diff(matched_walk(alone, alone.values[:, 0], sites=[0, 4, 5]).draw(1), axis=1)
    np.testing.assert_allclose(steps[0], steps[1])


def test_the_same_seed_gives_the_same_walk():
    given = recording(12)
    walk = matched_walk(given, given.values[:, 0])
    np.testing.assert_array_equal(walk.draw(7), walk.draw(7))
    assert not np.array_equal(walk.draw(7)[:, 1], walk.draw(8)[:, 1])
