"""Periodic orbits are found in chaotic maps and not in walks, noise or rotations."""

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import orbit_maps as maps
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.orbits.marks import largest_height, marks
from transformer_dynamics.measures.orbits.periodic_orbits import periodic_orbits
from transformer_dynamics.nulls.trace_surrogates import flipped_signs
from transformer_dynamics.recording import Recording
from transformer_dynamics.storage.attributes import attribute

N_SURROGATES = 39
TRANSFORM = "transform, embedding {}, period {}"


def recording(traces):
    return Recording.from_array(np.swapaxes(traces, 1, 2))


def orbits(traces, **options):
    return periodic_orbits(recording(traces), **{"n_surrogates": N_SURROGATES, **options})


def found(result, test):
    return result["found"].sel(test=test).item()


@pytest.fixture(scope="module")
def logistic():
    return orbits(maps.logistic())


@pytest.fixture(scope="module")
def henon():
    return orbits(maps.henon())


def test_orbits_of_the_logistic_map_are_found_in_pooled_short_traces(logistic):
    tests = [TRANSFORM.format(1, 1), TRANSFORM.format(2, 1), TRANSFORM.format(1, 2)]
    assert all(found(logistic, test) == 1 for test in [*tests, "encounters"]), logistic["found"]
    size = np.median(np.abs(maps.logistic()))
    peaks = logistic["peak"].sel(embedding=1, period=1).values * size
    fixed = np.array([0.0, maps.LOGISTIC_FIXED])
    assert np.abs(peaks[:, None] - fixed).min(axis=1).max() < 0.06
    assert (logistic["unstable_excess"] > 2).all()


def test_the_density_of_the_logistic_map_peaks_at_its_fixed_point_and_surrogates_do_not(logistic):
    traces = maps.logistic() / np.median(np.abs(maps.logistic()))
    low, middle, high = np.quantile(traces, [0.25, 0.5, 0.75])
    fixed = (maps.LOGISTIC_FIXED / np.median(np.abs(maps.logistic())) - middle) / (
        (high - low) / 1.349
    )
    at = {"embedding": 1, "period": 1}
    place = int(np.abs(logistic["level"].values - fixed).argmin())
    density = logistic["transform"].sel(at).mean("unit").values
    beside = np.r_[place - 5 : place - 2, place + 3 : place + 5]
    assert density[place - 1 : place + 2].max() > 5 * density[beside].mean()
    for kind in logistic["surrogate"].values:
        mean = logistic["surrogate_transform_mean"].sel(surrogate=kind)
        surrogate = mean.sel(at).mean("unit").values
        assert surrogate[place - 1 : place + 2].max() < 1.5 * surrogate[beside].mean()


def test_orbits_of_the_henon_map_are_found(henon):
    tests = [TRANSFORM.format(1, 1), TRANSFORM.format(2, 1), "encounters"]
    assert all(found(henon, test) == 1 for test in tests), henon["found"]
    size = np.median(np.abs(maps.henon()))
    peaks = henon["peak"].sel(embedding=2, period=1).values * size
    np.testing.assert_allclose(peaks, maps.HENON_FIXED, atol=0.12)


@pytest.mark.parametrize(
    "traces",
    [maps.logistic(noise=0.03, seed=1), maps.logistic(seed=2) * 1.05 ** np.arange(60)],
    ids=["noise", "growth"],
)
def test_orbits_are_found_with_noise_and_growth(traces):
    result = orbits(traces, n_surrogates=19)
    assert found(result, TRANSFORM.format(1, 1)) == 1
    assert found(result, TRANSFORM.format(2, 1)) == 1
    assert found(result, "encounters") >= 1 / 2


def test_close_returns_show_the_periods_of_weakly_unstable_orbits(henon):
    """Near its window of period three the logistic map stays for long by a cycle of three."""
    assert found(henon, "close returns") == 1
    intermittent = orbits(maps.logistic(rate=3.8282))
    assert found(intermittent, "close returns") == 1
    returns = intermittent["returns"].mean("unit")
    assert sorted(returns["time"].values[np.argsort(returns.values)[-2:]]) == [3, 6]


@pytest.mark.parametrize(
    "traces",
    [
        maps.linear_noise(0.0),
        maps.linear_noise(-0.7),
        maps.linear_noise(0.6, shared=2.0),
        maps.rotation(noise=0.1),
    ],
    ids=["white", "alternating", "shared", "rotation"],
)
def test_linear_noise_and_rotation_are_not_orbits(traces):
    """Six units, so one may be found by chance; both embeddings are asked for, as documented."""
    result = orbits(traces)
    p = result["transform_p"].max(["surrogate", "embedding"]).sel(period=1)
    assert (p > 0.05).mean() >= 5 / 6
    assert found(result, "encounters") <= 1 / 6
    assert found(result, "close returns") <= 1 / 6
    assert np.abs(result["unstable_excess"]).max() < 1.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"shared": 2.0, "growth": 1.05}], ids=["plain", "shared and growing"]
)
def test_false_positives_over_100_walks(options):
    """Each unit is a set of short walks of its own; at most 5 % and the error of 100 are found.

    Sign flips alone are exact for walks, so that their share lies near 5 % and not at 0.
    """
    n_units = 100
    traces = maps.walks((16, n_units, 60), seed=7, **options)
    result = orbits(traces, n_units=n_units, n_samples=16)
    allowed = stats.binom.ppf(0.999, n_units, 0.05) / n_units
    assert (result["found"] <= allowed).all(), result["found"]
    exact = result.sel(surrogate="sign_flipped_increments")
    shares = [
        (exact[f"{name}_p"] <= 0.05).mean("unit").values.ravel()
        for name in ("transform", "returns", "encounters")
    ]
    assert (np.concatenate(shares) <= allowed).all(), shares
    assert np.concatenate(shares).mean() > 0.02, shares


def test_signs_of_their_own_per_sample_would_find_orbits_in_walks():
    """Why signs are shared: every place on a shared path is a pile of points."""
    traces, rng = maps.walks((128, 8, 60), shared=8.0, seed=3), np.random.default_rng(0)

    def p(surrogate):
        draws = [marks(surrogate(), 8).transform[0, 0] for _ in range(N_SURROGATES)]
        return largest_height(marks(traces, 8).transform[0, 0], np.stack(draws))[1]

    own = p(lambda: flipped_signs(traces.reshape(1, -1, 60), rng).reshape(traces.shape))
    shared = p(lambda: flipped_signs(traces, rng))
    assert (own <= 0.05).sum() >= 6
    assert (shared <= 0.05).sum() <= 2


def test_largest_height_is_exact_for_exchangeable_counts():
    rng = np.random.default_rng(0)
    together = rng.poisson(3.0, (40, 500, 60)).astype(float)
    height, p, place = largest_height(together[-1], together[:-1])
    assert 0.02 < (p <= 0.05).mean() < 0.09
    heights = (together - together.mean(axis=0)) / np.maximum(together.std(axis=0), 1)
    np.testing.assert_allclose(height, heights[-1].max(axis=-1))
    np.testing.assert_array_equal(place, heights[-1].argmax(axis=-1))


def test_a_lone_point_is_no_peak():
    draws = np.zeros((99, 50))
    draws[:, 10] = np.random.default_rng(0).poisson(20, 99)
    observed = np.zeros(50)
    observed[10], observed[40] = 20, 1
    assert largest_height(observed, draws)[0] < 1.1
    observed[40] = 20
    assert largest_height(observed, draws)[1] == 0.01


def test_growth_of_spirals():
    """The trace exp(0.02 s) cos(s / 2) grows by 0.04 per radian."""
    s, rng = np.arange(60), np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (24, 4, 1))
    result = orbits(np.exp(0.02 * s) * np.cos(0.5 * s + phase), n_surrogates=19)
    np.testing.assert_allclose(result["growth"], 0.04, atol=0.008)
    assert (result["growth_low"] <= result["growth"]).all()
    assert (result["growth"] <= result["growth_high"]).all()
    assert ((result["growth_high"] - result["growth_low"]) < 0.01).all()
    inwards = orbits(np.exp(-0.02 * s) * np.cos(0.5 * s + phase), n_surrogates=19)
    np.testing.assert_allclose(inwards["growth"], -0.04, atol=0.008)
    walks = orbits(maps.walks((24, 12, 60)), n_surrogates=39)
    assert (walks["growth_p"] <= 0.05).sum() <= 3


def test_result_says_what_it_is_and_is_the_same_for_the_same_seed():
    traces = maps.walks((40, 9, 20))
    options = {"n_samples": 10, "n_units": 4, "n_surrogates": 3}
    one, two = orbits(traces, **options), orbits(traces, **options)
    xr.testing.assert_identical(one, two)
    other = orbits(traces, **options, seed=1)
    assert one.sizes["unit"] == 4
    assert not np.array_equal(one["unit"], other["unit"])
    assert attribute(one, "parameters")["n_units"] == 4
    assert one.attrs["pooling"] == "10 samples per unit, 4 units"
    for name, values in one.data_vars.items():
        assert {"units", "denominator"} <= set(values.attrs), name
    every = orbits(traces[:10, :4], n_surrogates=3)
    assert every["unit"].values.tolist() == [0, 1, 2, 3]


def test_a_tiny_recording_gives_nan_and_one_warning():
    traces = maps.walks((12, 16, 7))
    traces[:, 3] = 0.0
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        result = orbits(traces, n_surrogates=3)
    assert [warning.category for warning in given] == [UndefinedWarning]
    assert given[0].filename.endswith("test_periodic_orbits.py") or "registry" in given[0].filename
    p = result["transform_p"].sel(surrogate="shared_phases")
    assert p.sel(embedding=2, period=2).isnull().all()
    assert np.isnan(found(result, TRANSFORM.format(2, 2)))
    assert p.sel(embedding=1, period=1).isnull().values.tolist() == [u == 3 for u in range(16)]
    assert result["encounters_p"].isel(unit=3).isnull().all()
    assert result["returns_p"].isel(unit=0).notnull().all()
    for drawing in result.td.drawings:
        drawing.plot()


def test_drawings_say_what_they_show(logistic):
    drawings = logistic.td.drawings
    for drawing in drawings:
        assert drawing.caption.endswith(".")
        assert drawing.interpretation.endswith(".")
        assert drawing.plot().get_xlabel().endswith(")")
        assert drawing.figure().data
    peak = drawings[1]
    assert peak.series[0].y.max() > 3 * max(line.high.max() for line in peak.series[1:])


@pytest.mark.parametrize(
    "options", [{"n_samples": 0}, {"n_units": 0}, {"n_surrogates": 0}, {"max_time": 0}]
)
def test_bad_options_are_named(options):
    with pytest.raises(InputError, match=r"td\.orbits\.periodic_orbits"):
        orbits(maps.walks((4, 3, 10)), **options)
    with pytest.raises(InputError, match="3 sites"):
        orbits(maps.walks((4, 3, 3)))
