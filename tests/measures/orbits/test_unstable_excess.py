import numpy as np
import pytest

import orbit_maps as maps
from transformer_dynamics.measures.orbits.levels import level_centers, level_counts
from transformer_dynamics.measures.orbits.unstable_excess import (
    AROUND,
    longest_period,
    text_halves,
    unstable_excess,
)
from transformer_dynamics.stats.bootstrap import text_weights, uniform_weights

SHAPE = (64, 12, 60)


def excess(traces, weights=None):
    n_samples = len(traces)
    return unstable_excess(
        traces,
        uniform_weights(n_samples) if weights is None else weights,
        text_halves(np.arange(n_samples)),
    )


def pooled(found):
    return found.excess.sum(axis=1) / found.around.sum(axis=1)


def test_unstable_orbits_are_found_where_they_are():
    series = maps.logistic(SHAPE)
    found = excess(series)
    assert pooled(found)[0] > 8
    assert (found.excess / found.around > 3).all()
    assert (found.period == 1).all()
    sizes = np.median(np.abs(series), axis=(0, 1))
    scaled = series / sizes
    low, middle, high = np.quantile(scaled, [0.25, 0.5, 0.75], axis=(0, 2))
    level = (found.level * (high - low) / 1.349 + middle) * sizes.mean()
    fixed = np.array([0.0, maps.LOGISTIC_FIXED])
    assert np.abs(level[..., None] - fixed).min(axis=-1).max() < 0.06
    assert found.profile.argmax() == AROUND


@pytest.mark.parametrize(
    ("series", "at_least"),
    [
        (maps.henon(SHAPE), 4.5),
        (maps.logistic(SHAPE, noise=0.05), 4),
        (maps.logistic(SHAPE) * 1.06 ** np.arange(60), 8),
        (maps.henon(SHAPE) + 0.1 * np.random.default_rng(0).standard_normal(SHAPE), 1.8),
    ],
    ids=["henon", "noisy", "growing", "measured with noise"],
)
def test_orbits_are_found_with_noise_and_growth(series, at_least):
    assert pooled(excess(series))[0] > at_least


@pytest.mark.parametrize(
    "series",
    [
        maps.walks(SHAPE),
        maps.walks(SHAPE, growth=1.08),
        maps.walks(SHAPE, shared=3.0, growth=1.05),
        maps.linear_noise(0.0, SHAPE),
        maps.linear_noise(0.9, SHAPE),
        maps.linear_noise(-0.7, SHAPE),
        maps.linear_noise(-0.7, SHAPE, shared=3.0),
        maps.rotation(SHAPE),
        maps.rotation(SHAPE, noise=0.1),
        maps.rotation(SHAPE, turns=15.3, noise=0.1),
    ],
    ids=[
        "walk",
        "growing",
        "shared",
        "white",
        "slow",
        "alternating",
        "alternating, shared",
        "rotation",
        "noisy rotation",
        "fast rotation",
    ],
)
def test_what_looks_alike_backwards_has_none(series):
    """Zero to within five standard errors over units, which are independent here."""
    found = excess(series)
    ratios = (found.excess / found.around)[0]
    assert abs(ratios.mean()) < 5 * ratios.std() / np.sqrt(ratios.size)
    assert abs(pooled(found)[0]) < 0.3


def test_a_trace_read_backwards_is_a_stable_orbit():
    assert pooled(excess(maps.henon(SHAPE)[..., ::-1]))[0] < 1


def test_weights_move_the_measurement_and_not_the_choice():
    series = maps.logistic(SHAPE, noise=0.05)
    drawn = excess(series, text_weights(np.arange(64), 200, seed=1))
    plain = excess(series)
    np.testing.assert_array_equal(drawn.level, plain.level)
    assert drawn.excess.shape == (200, 12)
    assert pooled(drawn).mean() == pytest.approx(pooled(plain)[0], rel=0.1)
    only_first = np.zeros((1, 64))
    only_first[0, :2] = 0.5
    assert not np.array_equal(excess(series, only_first).excess, plain.excess)
    np.testing.assert_allclose(excess(series, np.eye(64)).excess.mean(axis=0), plain.excess[0])


def test_undefined_where_there_is_nothing_to_compare():
    series = maps.walks((8, 2, 5))
    assert longest_period(5) == 0
    assert np.isnan(excess(series).excess).all()
    one_text = unstable_excess(maps.walks((8, 2, 20)), uniform_weights(8), np.ones(8, dtype=bool))
    assert np.isnan(one_text.excess).all()
    still = maps.walks((8, 2, 20))
    still[:, 0] = 1.0
    assert np.isnan(excess(still).excess).tolist() == [[True, False]]


@pytest.mark.parametrize(("n_sites", "period"), [(5, 0), (6, 1), (9, 1), (10, 2), (60, 6)])
def test_longest_period_fits_into_half_of_the_depth(n_sites, period):
    assert longest_period(n_sites) == period
    assert 2 * period + 1 <= max(1, n_sites // 2)


def test_counts_by_level_agree_with_a_histogram():
    points = np.random.default_rng(0).standard_normal((5, 2, 300)) * 2
    points[0, 0, :3] = np.nan, np.inf, -np.inf
    keep = np.random.default_rng(1).random(points.shape) < 0.5
    counts = level_counts(points, keep, per_sample=True)
    width = level_centers()[1] - level_centers()[0]
    edges = np.append(level_centers() - width / 2, level_centers()[-1] + width / 2)
    for sample, unit in np.ndindex(5, 2):
        kept = points[sample, unit][keep[sample, unit]]
        expected, _ = np.histogram(kept[np.isfinite(kept)], edges)
        np.testing.assert_array_equal(counts[sample, unit], expected)
    np.testing.assert_array_equal(level_counts(points, keep)[0], counts.sum(axis=0))


def test_samples_of_a_text_stay_together():
    assert text_halves([7, 7, 3, 9, 9]).tolist() == [False, False, True, True, True]
