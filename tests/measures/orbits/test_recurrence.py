import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orbit_maps as maps
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.orbits.fixed_points import transformed_points, window_sites
from transformer_dynamics.measures.orbits.growth import outward_growth
from transformer_dynamics.measures.orbits.recurrence import close_returns, encounters

LONG = (1, 1, 20_000)


def density_peaks(traces, low, high, n_bins=200, **options):
    """Centers of the bins with the most points, the most populated first."""
    points, multiplier = transformed_points(traces, **options)
    with np.errstate(invalid="ignore"):
        kept = points[np.isfinite(points) & (multiplier > 1)]
    counts, edges = np.histogram(kept, np.linspace(low, high, n_bins + 1))
    return ((edges[:-1] + edges[1:]) / 2)[np.argsort(-counts, kind="stable")], np.sort(counts)[::-1]


@pytest.mark.parametrize("embedding", [1, 2])
def test_logistic_fixed_point(embedding):
    """The map's other fixed point is the end of the interval, 0."""
    peaks, counts = density_peaks(maps.logistic(LONG), 0.1, 1.0, embedding=embedding)
    assert peaks[0] == pytest.approx(maps.LOGISTIC_FIXED, abs=0.005)
    assert counts[0] > 3 * counts[10]


def test_logistic_period_two_is_a_fixed_point_of_the_second_iterate():
    peaks, _ = density_peaks(maps.logistic(LONG), 0.1, 1.0, period=2)
    expected = sorted([*maps.LOGISTIC_PERIOD_TWO, maps.LOGISTIC_FIXED])
    found = [min(abs(peaks[:8] - point)) for point in expected]
    assert max(found) < 0.01
    first, _ = density_peaks(maps.logistic(LONG), 0.1, 1.0, period=1)
    assert min(abs(first[:8] - maps.LOGISTIC_PERIOD_TWO[0])) > 0.05


@pytest.mark.parametrize("embedding", [1, 2])
def test_henon_fixed_point(embedding):
    peaks, counts = density_peaks(maps.henon(LONG), -1.3, 1.3, n_bins=130, embedding=embedding)
    assert abs(maps.HENON_FIXED - 0.6314) < 1e-4
    assert peaks[0] == pytest.approx(maps.HENON_FIXED, abs=0.03)
    assert counts[0] > 2 * counts[8]


def test_henon_multiplier_at_the_fixed_point_is_its_unstable_eigenvalue():
    series = maps.henon(LONG)
    _, multiplier = transformed_points(series, embedding=2, kappa=0)
    windows = np.lib.stride_tricks.sliding_window_view(series, 5, axis=-1)
    near = (np.abs(windows - maps.HENON_FIXED) < 0.1).all(axis=-1)
    slope = -2.8 * maps.HENON_FIXED
    expected = abs(slope / 2 - np.sqrt(slope**2 / 4 + 0.3))
    assert near.sum() > 50
    assert np.median(multiplier[near]) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("series", "fixed"),
    [(maps.logistic, maps.LOGISTIC_FIXED), (maps.henon, maps.HENON_FIXED)],
    ids=["logistic", "henon"],
)
def test_shuffled_values_have_no_peak_at_the_fixed_point(series, fixed):
    def density(traces):
        points, _ = transformed_points(traces)
        with np.errstate(invalid="ignore"):
            near, beside = (np.abs(points - fixed) < width for width in (0.03, 0.3))
        return near.sum() / beside.sum() * 10

    ordered = series(LONG)
    shuffled = np.random.default_rng(0).permutation(ordered.ravel()).reshape(LONG)
    assert density(ordered) > 2.5
    assert density(shuffled) < 1.3


def by_matrices(x, s):
    """Embedding 2 as it is written: companion matrix from differences, then its fixed point."""
    z = {k: np.array([x[k], x[k - 1]]) for k in range(s - 2, s + 2)}
    rows = np.stack([z[s] - z[s - 1], z[s - 1] - z[s - 2]])
    slopes = np.linalg.solve(rows, [x[s + 1] - x[s], x[s] - x[s - 1]])
    companion = np.array([slopes, [1.0, 0.0]])
    point = np.linalg.solve(np.eye(2) - companion, z[s + 1] - companion @ z[s])
    return point[0], np.abs(np.linalg.eigvals(companion)).max()


def test_transform_of_embedding_two_agrees_with_matrices():
    x = np.random.default_rng(1).standard_normal(40)
    points, multiplier = transformed_points(x, embedding=2, kappa=0)
    expected = np.array([by_matrices(x, s) for s in range(3, 39)])
    np.testing.assert_allclose(points, expected[:, 0], rtol=1e-8)
    np.testing.assert_allclose(multiplier, expected[:, 1], rtol=1e-8)


@given(
    slope=st.floats(-3, 3).filter(lambda a: abs(a - 1) > 0.1 and abs(a) > 0.1),
    fixed=st.floats(-5, 5),
    period=st.integers(1, 3),
)
@settings(max_examples=40)
def test_transform_is_exact_for_a_line(slope, fixed, period):
    """Every window of x -> fixed + slope (x - fixed) points at `fixed`, with the slope's size."""
    values = fixed + slope ** np.arange(4)
    x = np.repeat(values, period)
    points, multiplier = transformed_points(x, period=period, kappa=0)
    assert points.size == x.size - window_sites(period, 1) + 1
    np.testing.assert_allclose(points, fixed, atol=1e-6)
    np.testing.assert_allclose(multiplier, abs(slope), rtol=1e-6)


def test_kappa_moves_points_by_the_square_of_their_distance():
    def moved(distance):
        x = 0.5 + distance * (-2.0) ** np.arange(3)
        return abs(transformed_points(x, kappa=1.0, seed=4).points[0] - 0.5)

    assert moved(1e-2) > 0
    assert moved(1e-3) == pytest.approx(moved(1e-2) / 100, rel=0.1)


def test_reversed_traces_have_the_same_points_and_the_inverse_multiplier():
    """What the unstable excess rests on."""
    x = np.random.default_rng(0).standard_normal(30)
    forward, backward = (transformed_points(path, kappa=0) for path in (x, x[::-1]))
    np.testing.assert_allclose(backward.points[::-1], forward.points)
    np.testing.assert_allclose(backward.multiplier[::-1], 1 / forward.multiplier)


def test_encounter_with_a_saddle_is_counted_once_at_its_place():
    approach, departure = -(0.5 ** np.arange(5)), 0.125 * (-2.0) ** np.arange(4)
    series = np.cumsum(np.concatenate([[2.0], approach, departure]))
    found = encounters(series)
    assert np.isfinite(found).sum() == 1
    nearest = np.abs(np.diff(series)).argmin()
    assert np.nanmean(found) == pytest.approx(series[nearest : nearest + 2].mean())
    assert np.isfinite(encounters(series, radius=0.07)).sum() == 1
    assert np.isfinite(encounters(series, radius=0.06)).sum() == 0


@pytest.mark.parametrize(
    "x",
    [
        np.arange(20.0),
        2.0 ** np.arange(20),
        0.5 ** np.arange(20),
        np.array([0.0, 8.0, 12.0, 11.0, 13.0, 9.0]),  # comes nearer on one side, then crosses
    ],
)
def test_no_encounter_without_approach_and_departure_along_directions(x):
    assert not np.isfinite(encounters(x)).any()


def test_encounters_with_the_logistic_map_lie_at_its_fixed_point():
    """The nearer they come, the nearer to it."""
    series = maps.logistic((1, 1, 50_000))
    any_distance, near = encounters(series), encounters(series, radius=0.03)
    assert np.isfinite(any_distance).sum() > np.isfinite(near).sum() > 20
    np.testing.assert_allclose(near[np.isfinite(near)], maps.LOGISTIC_FIXED, atol=0.02)
    assert np.nanmedian(any_distance) == pytest.approx(maps.LOGISTIC_FIXED, abs=0.1)


def test_close_returns_of_the_tent_map_have_their_closed_form():
    """The logistic map in the coordinate in which its invariant measure is uniform."""
    tent = 2 / np.pi * np.arcsin(np.sqrt(maps.logistic((20_000, 1, 40))))
    radius, periods = 0.01, np.arange(1, 5)
    counts = close_returns(tent, 4, radius=radius).sum(axis=(1, 2))
    possible = 20_000 * (40 - periods)
    # Each branch of the iterate meets the diagonal once, at 0 from one side only.
    expected = 2 * radius * (1 / 2 + 2.0 ** (periods - 1) / (2.0**periods + 1))
    assert expected[0] == pytest.approx(radius * 5 / 3)
    np.testing.assert_allclose(counts / possible, expected, rtol=0.03)
    independent = np.random.default_rng(0).permutation(tent.ravel()).reshape(tent.shape)
    share = close_returns(independent, 1, radius=radius).sum() / possible[0]
    assert share == pytest.approx(2 * radius, rel=0.03)


def test_close_returns_of_a_cycle_are_its_period_and_multiples():
    cycle = np.tile([0.0, 3.0, 1.0, 7.0], 5)
    assert close_returns(cycle, 8, radius=0.5).tolist() == [0, 0, 0, 16, 0, 0, 0, 12]
    assert close_returns(cycle[:3], 5, radius=0.5).tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("growth", [-0.1, 0.0, 0.05, 0.3])
def test_outward_growth_of_a_logarithmic_spiral(growth):
    angle = np.linspace(0, 25, 300)
    spiral = np.exp(growth * angle)[:, None] * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    center = np.array([3.0, -1.0])
    slope = outward_growth(spiral + center, center=center)
    assert slope == pytest.approx(growth, abs=1e-10)
    # Read the other way round the angle falls, and so the sign turns.
    mirrored = spiral * [1, -1]
    assert outward_growth(mirrored, center=np.zeros(2)) == pytest.approx(-growth, abs=1e-10)


def test_outward_growth_about_the_centroid_of_a_slow_spiral():
    angle = np.linspace(0, 12 * np.pi, 2000)
    spiral = np.exp(0.02 * angle)[:, None] * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    assert outward_growth(spiral) == pytest.approx(0.02, rel=0.1)


def test_growth_that_is_not_defined():
    still = np.zeros((2, 10, 2))
    still[1] = np.nan
    assert np.isnan(outward_growth(still)).all()


@pytest.mark.parametrize("embedding", [1, 2])
def test_traces_that_are_too_short_have_no_windows(embedding):
    points, _ = transformed_points(np.zeros((3, 2 * embedding)), embedding=embedding)
    assert points.shape == (3, 0)
    assert encounters(np.zeros((3, 5))).shape == (3, 0)


@pytest.mark.parametrize("options", [{"period": 0}, {"embedding": 3}, {"embedding": 0}])
def test_bad_options_are_named(options):
    with pytest.raises(InputError, match="the embedding 1 or 2"):
        transformed_points(np.zeros(9), **options)
    with pytest.raises(InputError, match="at least 1"):
        close_returns(np.zeros(9), 0, radius=1.0)
