"""Surrogates keep and destroy the registered structure and do not change their input."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_dynamics import synthetic
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.nulls import (
    autoregressive_increments,
    permuted_depth,
    permuted_increments,
    permuted_layers,
    permuted_samples,
    permuted_units,
    phase_randomized_increments,
    phase_surrogates,
    random_basis,
    random_walk,
    sign_flipped_increments,
    sign_flipped_layers,
)
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import NULLS

NULL_FUNCTIONS = [
    random_walk,
    sign_flipped_increments,
    permuted_increments,
    phase_randomized_increments,
    permuted_depth,
    permuted_units,
    permuted_samples,
    random_basis,
    sign_flipped_layers,
    permuted_layers,
    autoregressive_increments,
]
KEEP_FIRST_SITE = [
    function for function in NULL_FUNCTIONS if function not in (permuted_depth, random_basis)
]
KEEP_LAST_SITE = [
    permuted_increments,
    phase_randomized_increments,
    permuted_layers,
]


def structured(n_samples=24, n_sites=12, n_units=10, *, seed=0, dtype=np.float32):
    """Steps with a common direction, unequal and correlated units, and samples of their own."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_units, n_units)) * np.geomspace(0.3, 3, n_units)
    steps = rng.standard_normal((n_samples, n_sites, n_units)) @ mixing
    steps += 2 * rng.standard_normal((n_sites, n_units)) + 1.5
    coords = {"text": np.repeat(np.arange(n_samples // 2 + 1), 2)[:n_samples]}
    return Recording.from_array(
        np.cumsum(steps, axis=1).astype(dtype), coords=coords, provenance={"system": "structured"}
    )


def increments(recording):
    return np.diff(recording.values.astype(np.float64), axis=1)


def cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def each_null(functions=NULL_FUNCTIONS):
    return pytest.mark.parametrize("null", functions, ids=lambda function: function.__name__)


@each_null()
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_shape_dtype_coordinates_and_provenance(null, dtype):
    recording = structured(dtype=dtype)
    drawn = null(recording, seed=3)
    assert drawn.values.dtype == dtype
    assert drawn.shape == recording.shape
    assert drawn.sites == recording.sites
    np.testing.assert_array_equal(drawn.text_index, recording.text_index)
    assert np.isfinite(drawn.values).all()
    provenance = drawn.provenance
    assert (provenance["system"], provenance["null"], provenance["seed"]) == (
        "structured",
        null.__name__,
        3,
    )


@each_null()
def test_the_input_is_unchanged_and_shares_no_memory_with_the_result(null):
    recording = structured()
    before = recording.values.copy()
    drawn = null(recording, seed=0)
    np.testing.assert_array_equal(recording.values, before)
    assert not np.shares_memory(drawn.values, recording.values)
    assert "null" not in recording.provenance


@each_null()
def test_the_seed_decides(null):
    recording = structured()
    first, again, other = (null(recording, seed=seed).values for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, recording.values)


def test_threads_do_not_disturb_each_other():
    recording = structured()
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda s: random_walk(recording, seed=s % 3), range(12)))
    for seed, walk in enumerate(drawn):
        np.testing.assert_array_equal(walk.values, drawn[seed % 3].values)


@each_null()
def test_registered_under_its_own_name_with_what_it_keeps_and_destroys(null):
    entry = NULLS.all()[null.__name__]
    assert entry.function is null
    assert entry.keeps
    assert entry.destroys
    assert not entry.needs_model


@each_null(KEEP_FIRST_SITE)
def test_first_site_is_kept_exactly(null):
    recording = structured()
    np.testing.assert_array_equal(null(recording).values[:, 0], recording.values[:, 0])


@each_null(KEEP_LAST_SITE)
def test_last_site_is_kept_up_to_rounding(null):
    recording = structured()
    np.testing.assert_allclose(
        null(recording).values[:, -1], recording.values[:, -1], rtol=0, atol=2e-4
    )


@each_null()
@pytest.mark.parametrize(
    "shape", [(1, 5, 4), (3, 1, 4), (3, 2, 4), (3, 5, 1), (1, 1, 1), (2, 3, 2)]
)
def test_small_recordings_have_their_nulls_too(null, shape):
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    drawn = null(Recording.from_array(values), seed=1)
    assert drawn.shape == shape
    assert np.isfinite(drawn.values).all()


@each_null()
def test_views_of_a_recording_serve_as_well_as_copies(null):
    view = structured(n_samples=12, n_sites=9).isel(site=slice(0, 7), sample=slice(0, 12, 2))
    copy = Recording.from_array(view.values.copy())
    np.testing.assert_array_equal(null(view, seed=2).values, null(copy, seed=2).values)


# --- random walk -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_samples", "n_units"), [(300, 6), (20, 40)], ids=["D < N", "D >= N"])
def test_walk_has_each_step_s_covariance_over_samples(n_samples, n_units):
    recording = structured(n_samples, 4, n_units, seed=1)
    n_draws = 300
    sums = np.zeros((3, n_units, n_units))
    for seed in range(n_draws):
        steps = increments(random_walk(recording, seed=seed))
        centered = steps - steps.mean(axis=0)
        sums += np.einsum("nsu,nsv->suv", centered, centered) / (n_samples - 1)
    original = increments(recording)
    for step in range(3):
        expected = np.cov(original[:, step], rowvar=False)
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        # A covariance entry of one draw has a standard error of at most sqrt(2/(N - 1)) of scale.
        bound = 5 * np.sqrt(2 / (n_samples - 1) / n_draws)
        assert np.abs((sums[step] / n_draws - expected) / scale).max() < bound
        correlated = np.abs(expected / scale)[~np.eye(n_units, dtype=bool)]
        assert correlated.max() > 2 * bound  # a diagonal covariance would not pass


def test_walk_s_common_path_has_the_mean_steps_sizes_and_random_signs():
    recording = structured(n_samples=400, n_sites=5, n_units=4, seed=2)
    mean_steps = increments(recording).mean(axis=0)
    drawn = np.array([increments(random_walk(recording, seed=seed)).mean(0) for seed in range(400)])
    noise = increments(recording).var(axis=0, ddof=1) / 400
    np.testing.assert_allclose((drawn**2).mean(axis=0), mean_steps**2 + noise, rtol=0.4)
    spread = np.sqrt(mean_steps**2 + noise)
    assert np.abs(drawn.mean(axis=0) / spread).max() < 5 / np.sqrt(400)


def test_walk_keeps_speed_in_mean_square_and_turns_by_a_right_angle():
    recording = structured(n_samples=40, n_sites=9, n_units=64, seed=3)
    speed = np.linalg.norm(increments(recording), axis=2)
    original_angle = np.arccos(cosine(increments(recording)[:, 1:], increments(recording)[:, :-1]))
    squares, angles = [], []
    for seed in range(60):
        steps = increments(random_walk(recording, seed=seed))
        squares.append((steps**2).sum(axis=2).mean(axis=0))
        angles.append(np.arccos(cosine(steps[:, 1:], steps[:, :-1])).mean())
    np.testing.assert_allclose(np.mean(squares, axis=0), (speed**2).mean(axis=0), rtol=0.1)
    standard_error = np.std(angles, ddof=1) / np.sqrt(60)
    assert abs(np.mean(angles) - np.pi / 2) < 4 * standard_error
    assert standard_error < 0.01
    assert abs(original_angle.mean() - np.pi / 2) > 10 * standard_error


def test_walk_of_a_straight_line_is_straight_no_longer():
    walk = random_walk(synthetic.line(n_samples=16, n_sites=10, n_units=200))
    steps = increments(walk)
    assert np.abs(cosine(steps[:, 1:], steps[:, :-1])).max() < 0.8
    np.testing.assert_allclose(np.linalg.norm(steps, axis=2).mean(), 1, rtol=0.1)


def test_walk_of_one_sample_moves_by_multiples_of_the_recorded_step():
    recording = structured(n_samples=1, n_sites=400, n_units=6, dtype=np.float64)
    ratio = increments(random_walk(recording, seed=0)) / increments(recording)
    assert abs(ratio.mean()) < 0.1
    assert ratio.std() == pytest.approx(1, abs=0.05)
    assert abs((ratio**4).mean() - 3) < 0.5  # Gaussian, not a sign


def test_walk_with_units_that_depend_on_each_other_keeps_the_dependence():
    values = structured(n_samples=60, n_sites=5, n_units=4, dtype=np.float64).values
    tied = np.concatenate([values, values[..., :1] - 2 * values[..., 1:2], 0 * values[..., :1]], 2)
    steps = increments(random_walk(Recording.from_array(tied), seed=0))
    steps -= steps.mean(axis=0)
    np.testing.assert_allclose(steps[..., 4], steps[..., 0] - 2 * steps[..., 1], atol=1e-9)
    np.testing.assert_array_equal(steps[..., 5], 0)
    assert steps[..., :4].std() > 0.5


def test_walk_beside_a_massive_unit_keeps_the_quiet_ones():
    values = structured(n_samples=500, n_sites=3, n_units=5, seed=4).values
    values = values * np.float32([1, 1, 1e5, 1, 1])
    recording = Recording.from_array(values)
    drawn = [increments(random_walk(recording, seed=seed)) for seed in range(40)]
    variance = np.mean([steps.var(axis=0, ddof=1) for steps in drawn], axis=0)
    np.testing.assert_allclose(variance, increments(recording).var(axis=0, ddof=1), rtol=0.06)


# --- increments --------------------------------------------------------------------------------


def test_sign_flips_keep_sizes_per_sample_and_of_the_mean_and_are_shared_by_samples():
    recording = structured(dtype=np.float64)
    drawn = sign_flipped_increments(recording, seed=1)
    before, after = increments(recording), increments(drawn)
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-10)
    np.testing.assert_allclose(np.abs(after.mean(0)), np.abs(before.mean(0)), atol=1e-10)
    signs = np.round(after / before)
    assert (signs == signs[0]).all()
    # Signs differ over steps and over units: neither whole steps nor whole units are flipped.
    assert abs(signs[0].mean()) < 0.3
    assert (np.abs(signs[0].mean(axis=0)) < 1).any()
    assert (np.abs(signs[0].mean(axis=1)) < 1).any()
    assert np.abs(np.corrcoef(signs[0].ravel()[1:], signs[0].ravel()[:-1])[0, 1]) < 0.3


def test_permuted_increments_are_the_same_steps_in_one_other_order():
    recording = structured(dtype=np.float64)
    drawn = permuted_increments(recording, seed=1)
    before, after = increments(recording), increments(drawn)
    distance = np.abs(after[:, :, np.newaxis] - before[:, np.newaxis]).max(axis=(0, 3))
    order = distance.argmin(axis=1)
    assert sorted(order) == list(range(before.shape[1]))
    assert list(order) != sorted(order)
    np.testing.assert_allclose(after, before[:, order], atol=1e-10)


def test_permuted_increments_lose_the_trend_of_speed():
    recording = synthetic.spiral(n_sites=60, growth=1.2)
    speed = np.linalg.norm(increments(permuted_increments(recording)), axis=2)[0]
    assert np.corrcoef(np.log(speed), np.arange(59))[0, 1] < 0.5


@pytest.mark.parametrize("n_sites", [31, 32, 60])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iaaft_keeps_amplitudes_and_nearly_the_spectrum_but_not_the_order(n_sites, dtype):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.standard_normal((8, n_sites, 5)), axis=1)
    recording = Recording.from_array(np.cumsum(smooth, axis=1).astype(dtype))
    drawn = phase_randomized_increments(recording, seed=1)
    before, after = increments(recording), increments(drawn)
    atol = 1e-3 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(np.sort(after, axis=1), np.sort(before, axis=1), atol=atol)

    spectra = [np.abs(np.fft.rfft(steps, axis=1)) for steps in (before, after)]
    shuffled = np.abs(np.fft.rfft(rng.permuted(before, axis=1), axis=1))
    error = np.linalg.norm(spectra[1] - spectra[0]) / np.linalg.norm(spectra[0])
    assert error < 0.12
    assert error < 0.3 * np.linalg.norm(shuffled - spectra[0]) / np.linalg.norm(spectra[0])

    ranks = [steps.argsort(axis=1).argsort(axis=1) for steps in (before, after)]
    assert (ranks[0] == ranks[1]).mean() < 0.3


def test_iaaft_randomizes_phases_and_treats_series_independently():
    trace = np.cumsum(np.sin(np.arange(60) * 0.7) + 0.3 * np.cos(np.arange(60) * 1.9))
    recording = Recording.from_array(np.tile(trace[:, np.newaxis], (20, 1, 20)))
    steps = increments(phase_randomized_increments(recording, seed=0))
    phases = np.angle(np.fft.rfft(steps, axis=1))[:, np.abs(np.fft.rfft(np.diff(trace))).argmax()]
    # 400 phases that were one phase before: their mean direction now has length about 1/sqrt(400).
    assert np.abs(np.exp(1j * phases).mean()) < 3 / np.sqrt(400)


@pytest.mark.parametrize("n_sites", [2, 3, 16, 17, 60])
def test_iaaft_ends_where_a_round_by_fast_fourier_transform_changes_nothing(n_sites):
    recording = synthetic.random_walk(n_samples=10, n_sites=n_sites, n_units=6)
    drawn = phase_randomized_increments(recording, n_iterations=1000)
    before, after = increments(recording), increments(drawn)
    spectrum = np.fft.rfft(after, axis=1)
    spectrum *= np.abs(np.fft.rfft(before, axis=1)) / np.abs(spectrum)
    following = np.fft.irfft(spectrum, n_sites - 1, axis=1)
    np.testing.assert_array_equal(following.argsort(axis=1), after.argsort(axis=1))


def test_iaaft_s_rounds_bring_the_spectrum_closer():
    recording = Recording.from_array(synthetic.random_walk(n_sites=64).values.cumsum(axis=1))
    target = np.abs(np.fft.rfft(increments(recording), axis=1))

    def error(n_iterations):
        drawn = phase_randomized_increments(recording, n_iterations=n_iterations)
        assert drawn.provenance["n_iterations"] == n_iterations
        return np.linalg.norm(np.abs(np.fft.rfft(increments(drawn), axis=1)) - target)

    assert error(1) > 1.3 * error(5) > 1.3 * error(100)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iaaft_of_a_recording_that_stands_still(dtype):
    still = Recording.from_array(np.tile(dtype([[1.5, -2.0]]), (3, 7, 1)))
    np.testing.assert_array_equal(phase_randomized_increments(still).values, still.values)


def test_iaaft_of_constant_increments_and_over_several_blocks(monkeypatch):
    line = synthetic.line(n_samples=5, n_sites=9, n_units=3)
    np.testing.assert_allclose(phase_randomized_increments(line).values, line.values, atol=1e-12)
    monkeypatch.setattr(phase_surrogates, "SERIES_PER_BLOCK", 6)
    recording = structured(n_samples=5, n_units=3, dtype=np.float64)
    drawn = phase_randomized_increments(recording, seed=1)
    np.testing.assert_allclose(
        np.sort(increments(drawn), axis=1), np.sort(increments(recording), axis=1), atol=1e-10
    )
    assert not np.allclose(increments(drawn)[-1], increments(recording)[-1])


# --- permutations and the basis ----------------------------------------------------------------


def test_permuted_depth_is_one_order_for_all_samples():
    recording = structured()
    drawn = permuted_depth(recording, seed=1).values
    order = [int((recording.values[0] == state).all(axis=1).argmax()) for state in drawn[0]]
    assert sorted(order) == list(range(12))
    assert order != sorted(order)
    np.testing.assert_array_equal(drawn, recording.values[:, order])


def test_permuted_units_keep_each_site_s_states_up_to_the_names_of_units():
    recording = structured()
    drawn = permuted_units(recording, seed=1).values
    orders = []
    for site in range(12):
        before, after = recording.values[:, site], drawn[:, site]
        order = [int((before == column[:, np.newaxis]).all(axis=0).argmax()) for column in after.T]
        assert sorted(order) == list(range(10))
        np.testing.assert_array_equal(after, before[:, order])
        orders.append(tuple(order))
    assert orders[0] == tuple(range(10))
    assert len(set(orders)) == 12


def test_permuted_samples_keep_each_site_s_states_but_not_whose_they_are():
    recording = structured()
    drawn = permuted_samples(recording, seed=1).values
    orders = []
    for site in range(12):
        before, after = recording.values[:, site], drawn[:, site]
        order = [int((before == state).all(axis=1).argmax()) for state in after]
        assert sorted(order) == list(range(24))
        np.testing.assert_array_equal(after, before[order])
        orders.append(tuple(order))
    assert orders[0] == tuple(range(24))
    assert len(set(orders)) == 12


@pytest.mark.parametrize("null", [permuted_samples, permuted_units])
def test_permuting_units_or_samples_ends_the_correlation_of_units_between_sites(null):
    recording = synthetic.random_walk(n_samples=500, n_sites=20, n_units=30)

    def mean_correlation(values):
        a, b = values[:, 10], values[:, 11]
        return np.mean([np.corrcoef(a[:, unit], b[:, unit])[0, 1] for unit in range(30)])

    assert mean_correlation(recording.values) > 0.9
    assert abs(mean_correlation(null(recording, seed=0).values)) < 0.15


def test_random_basis_keeps_geometry_and_mixes_units():
    recording = structured(dtype=np.float64)
    drawn = random_basis(recording, seed=1)
    states, rotated = (r.values.reshape(-1, 10) for r in (recording, drawn))
    np.testing.assert_allclose(rotated @ rotated.T, states @ states.T, rtol=1e-10, atol=1e-8)
    basis = np.linalg.lstsq(states, rotated, rcond=None)[0]
    np.testing.assert_allclose(basis.T @ basis, np.eye(10), atol=1e-10)
    np.testing.assert_allclose(states @ basis, rotated, atol=1e-9)  # one matrix for all sites

    one_unit = np.zeros((1, 1, 256), dtype=np.float32)
    one_unit[..., 7] = 1000
    spread = random_basis(Recording.from_array(one_unit)).values
    assert np.abs(spread).max() < 300
    assert np.linalg.norm(spread) == pytest.approx(1000, rel=1e-5)


def test_random_basis_is_haar_distributed():
    identity = Recording.from_array(np.eye(3)[:, np.newaxis])
    bases = np.array([random_basis(identity, seed=s).values[:, 0] for s in range(2000)])
    # Entries of a Haar matrix: mean 0, mean square 1/3, and both determinants equally likely.
    assert np.abs(bases.mean(axis=0)).max() < 5 / np.sqrt(3 * 2000)
    np.testing.assert_allclose((bases**2).mean(axis=0), 1 / 3, atol=0.04)
    assert abs(np.linalg.det(bases).mean()) < 0.1


# --- properties and refusals -------------------------------------------------------------------


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    seed=st.integers(0, 2**32),
)
def test_permutations_keep_the_multiset_of_values(shape, scale, seed):
    values = np.random.default_rng(seed).standard_normal(shape) * scale
    recording = Recording.from_array(values)
    for null in (
        permuted_depth,
        permuted_units,
        permuted_samples,
    ):
        drawn = null(recording, seed=seed).values
        np.testing.assert_array_equal(np.sort(drawn, axis=None), np.sort(values, axis=None))
    basis = random_basis(recording, seed=seed).values
    np.testing.assert_allclose(np.linalg.norm(basis, axis=2), np.linalg.norm(values, axis=2))


@settings(max_examples=25)
@given(factor=st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**20]), seed=st.integers(0, 1000))
def test_every_null_scales_with_the_states(factor, seed):
    recording = structured(n_samples=6, n_sites=6, n_units=4, seed=seed, dtype=np.float64)
    scaled = recording.with_values(recording.values * factor)
    for null in NULL_FUNCTIONS:
        np.testing.assert_allclose(
            null(scaled, seed=seed).values, factor * null(recording, seed=seed).values, rtol=1e-9
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: phase_randomized_increments(structured(), n_iterations=0),
            r"got n_iterations=0; .*n_iterations=100",
        ),
        (
            lambda: sign_flipped_increments(
                Recording.from_array(
                    np.tile(np.float16([0, 6e4, 0, 6e4, 0, 6e4])[:, np.newaxis], (1, 1, 50))
                )
            ),
            r"leaves the range of its dtype, float16 \(at most 6\.55e\+04\); convert it first",
        ),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(RecordingError, match=message):
        call()
