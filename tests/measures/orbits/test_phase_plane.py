import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.orbits import turns
from transformer_dynamics.measures.orbits.phase_plane import phase_portrait, rotation_counts
from transformer_dynamics.measures.orbits.rotation import (
    permuted_points_rotation_count,
    phase_gradient,
    rotation_count,
    winding_number,
)
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.plots.orbits.phase_plane import draw_phase_portrait, draw_rotations
from transformer_dynamics.recording.recording import Recording

COUNTS = (rotation_count, winding_number, permuted_points_rotation_count)


def sine(k, n_points=64):
    return np.sin(2 * np.pi * k * np.linspace(0, 1, n_points))


def walks(n_traces, n_points=64, seed=0):
    return np.random.default_rng(seed).standard_normal((n_traces, n_points)).cumsum(axis=-1)


def turns_by_definition(trace):
    """The formula of one trace, term by term, without any vectorisation."""
    gradient = np.gradient(trace)
    angles = np.arctan2(np.diff(gradient), np.diff(trace))
    total = 0.0
    for before, after in itertools.pairwise(angles):
        change = after - before
        while change > np.pi:
            change -= 2 * np.pi
        while change <= -np.pi:
            change += 2 * np.pi
        total += change
    return total / (2 * np.pi)


def caught(call):
    """The result of a call and the warnings it gave."""
    with warnings.catch_warnings(record=True) as given_warnings:
        warnings.simplefilter("always")
        result = call()
    return result, given_warnings


def assert_one_undefined_warning(given_warnings):
    assert [warning.category for warning in given_warnings] == [UndefinedWarning]
    assert given_warnings[0].filename == __file__


@pytest.mark.parametrize("k", range(1, 9))
def test_a_sine_of_k_cycles_turns_k_times_clockwise(k):
    assert rotation_count(sine(k)) == pytest.approx(-k, rel=0.04)


@pytest.mark.parametrize("k", range(1, 9))
def test_a_sine_of_k_cycles_winds_k_times_about_its_centroid(k):
    assert winding_number(sine(k)) == pytest.approx(-k, abs=0.35)


def test_a_gaussian_random_walk_has_the_count_of_the_paper():
    counts = rotation_count(walks(20_000))
    assert counts.mean() == pytest.approx(-10.94, abs=0.1)
    assert counts.std() == pytest.approx(1.68, abs=0.1)


@pytest.mark.parametrize("n_points", [30, 61, 120])
def test_a_walk_turns_in_proportion_to_its_points(n_points):
    counts = rotation_count(walks(5000, n_points))
    assert counts.mean() == pytest.approx(-0.1765 * (n_points - 2), rel=0.02)


def test_white_noise():
    noise = np.random.default_rng(0).standard_normal((20_000, 64))
    assert rotation_count(noise).mean() == pytest.approx(-14.9, abs=0.1)


def test_without_the_wrap_the_sum_would_stay_within_one():
    traces = walks(500)
    angles = np.arctan2(np.diff(phase_gradient(traces)), np.diff(traces))
    unwrapped = np.diff(angles).sum(axis=-1) / (2 * np.pi)
    assert np.abs(unwrapped).max() <= 1
    assert np.abs(rotation_count(traces)).min() > 4


def test_permuting_the_points_jointly_hides_the_count_of_a_walk():
    counts = permuted_points_rotation_count(walks(20_000))
    assert counts.mean() == pytest.approx(0, abs=0.1)
    assert counts.std() > 1


def test_permuting_the_points_jointly_is_one_permutation_per_trace():
    trace = walks(1, 5)[0]
    gradient = np.gradient(trace)
    rng = np.random.default_rng(0)
    possible = set()
    for _ in range(2000):
        order = rng.permutation(5)
        angles = np.arctan2(np.diff(gradient[order]), np.diff(trace[order]))
        change = np.diff(angles)
        change -= 2 * np.pi * np.ceil((change - np.pi) / (2 * np.pi))
        possible.add(round(float(change.sum() / (2 * np.pi)), 6))
    found = permuted_points_rotation_count(np.repeat(trace[np.newaxis], 500, axis=0), seed=1)
    assert {round(float(count), 6) for count in found} <= possible
    assert len(set(found.round(6))) > 10


def test_permutations_follow_the_seed():
    traces = walks(50)
    first = permuted_points_rotation_count(traces, seed=3)
    np.testing.assert_array_equal(first, permuted_points_rotation_count(traces, seed=3))
    assert (first != permuted_points_rotation_count(traces, seed=4)).any()


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n_points=st.integers(4, 40))
def test_the_count_is_its_definition(seed, n_points):
    trace = walks(1, n_points, seed)[0]
    assert rotation_count(trace) == pytest.approx(turns_by_definition(trace), abs=1e-9)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    factor=st.sampled_from([-4.0, -1.0, 0.25, 2.0, 1024.0]),
    shift=st.integers(-8, 8),
)
def test_neither_scale_nor_sign_nor_offset_matters(seed, factor, shift):
    traces = walks(5, 20, seed)
    moved = factor * traces + shift
    np.testing.assert_allclose(rotation_count(moved), rotation_count(traces), atol=1e-6)
    np.testing.assert_allclose(winding_number(moved), winding_number(traces), atol=1e-6)


def test_the_winding_number_is_that_of_its_points():
    # With so many points no step comes near half a turn, so that unwrapping is safe.
    site = np.linspace(0, 1, 500)
    trace = 3 + np.sin(2 * np.pi * 2.5 * site)
    x, y = trace - trace.mean(), np.gradient(trace) - np.gradient(trace).mean()
    expected = np.unwrap(np.arctan2(y, x))
    assert winding_number(trace) == pytest.approx((expected[-1] - expected[0]) / (2 * np.pi))


@pytest.mark.parametrize("block", [1, 1000, 2**16])
def test_shapes_and_blocks(block, monkeypatch):
    monkeypatch.setattr(turns, "BLOCK_POINTS", block)
    values = walks(6 * 5, 12).reshape(6, 5, 12)
    expected = [[turns_by_definition(trace) for trace in row] for row in values]
    np.testing.assert_allclose(rotation_count(values), expected)
    np.testing.assert_allclose(rotation_count(values[2]), expected[2])
    np.testing.assert_allclose(rotation_count(values[np.newaxis]), [expected])
    view = np.ascontiguousarray(values.swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_allclose(rotation_count(view), expected)
    assert np.ndim(rotation_count(values[0, 0])) == 0
    assert rotation_count(values[:0]).shape == (0, 5)
    assert winding_number(values).shape == (6, 5)
    assert permuted_points_rotation_count(values).shape == (6, 5)


def test_phase_gradient_is_numpys():
    traces = walks(3, 9).astype(np.float32)
    expected = np.gradient(traces.astype(np.float64), axis=-1)
    np.testing.assert_array_equal(phase_gradient(traces), expected)
    assert phase_gradient(traces).dtype == np.float64


def test_a_straight_trace_does_not_turn():
    assert rotation_count(np.arange(10.0)) == 0


@pytest.mark.parametrize(
    "trace",
    [
        np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        np.array([2.0, 2.0, 2.0, 2.0, 3.0, 1.0, 5.0]),
        np.array([2.0, 3.0, 1.0, 5.0, 5.0, 5.0, 5.0]),
        np.concatenate([np.zeros(6), sine(2, 40), np.full(7, 0.0)]),
    ],
)
def test_a_move_of_length_zero_keeps_the_direction(trace):
    moves = np.column_stack([np.diff(trace), np.diff(np.gradient(trace))])
    moving = moves[np.any(moves != 0, axis=1)]
    assert len(moving) < len(moves)
    change = np.diff(np.arctan2(moving[:, 1], moving[:, 0]))
    change -= 2 * np.pi * np.ceil((change - np.pi) / (2 * np.pi))
    expected = change.sum() / (2 * np.pi)
    assert abs(expected) > 0.1
    assert rotation_count(trace) == pytest.approx(expected)
    others = np.stack([walks(1, trace.size)[0], trace, np.arange(trace.size)])
    assert rotation_count(others)[1] == pytest.approx(expected)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("bad", [0.0, 0.1, -24994.3, np.nan, np.inf])
def test_traces_that_never_move_or_are_not_finite_are_undefined(count, bad):
    traces = walks(5, 20)
    traces[3] = bad
    result, given_warnings = caught(lambda: count(traces))
    assert_one_undefined_warning(given_warnings)
    assert np.flatnonzero(np.isnan(result)).tolist() == [3]


@pytest.mark.parametrize("function", [*COUNTS, phase_gradient])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 1), ()])
def test_too_few_sites_are_refused(function, shape):
    with pytest.raises(ValueError, match=r"at least 4 along the last axis"):
        function(np.zeros(shape))


@pytest.mark.parametrize("measured", [rotation_counts, phase_portrait])
def test_measures_refuse_too_few_sites(measured):
    with pytest.raises(ValueError, match="3 sites"):
        measured(Recording.from_array(np.ones((5, 3, 2))))


def recording_of_walks(n_samples=30, n_units=40):
    values = walks(n_samples * n_units, 13).reshape(n_samples, n_units, 13).swapaxes(1, 2)
    return Recording.from_array(values.astype(np.float32), sites=transformer_labels(6))


def test_rotations_of_mean_traces_and_of_single_samples():
    recording = recording_of_walks()
    result = rotation_counts(recording)
    mean_traces = recording.values.mean(axis=0, dtype=np.float64).T
    expected = [turns_by_definition(trace) for trace in mean_traces]
    np.testing.assert_allclose(result["rotation_count"], expected)
    np.testing.assert_allclose(result["winding"], winding_number(mean_traces))
    single = result["rotation_count_per_sample"]
    assert (single.dims, single.dtype) == (("sample", "unit"), np.float32)
    found = turns_by_definition(recording.values[7, :, 21].astype(np.float64))
    assert single[7, 21].item() == pytest.approx(found, rel=1e-6)
    assert result["random_walk_count"].item() == pytest.approx(-0.1765 * 11)
    assert result["rotation_count"].attrs == {
        "units": "turns",
        "denominator": "none",
        "trace": "mean over 30 samples",
    }


def test_rotations_warn_once_of_a_constant_unit():
    values = recording_of_walks().values.copy()
    values[:, :, 2] = 0.1
    result, given_warnings = caught(lambda: rotation_counts(Recording.from_array(values)))
    assert_one_undefined_warning(given_warnings)
    assert np.flatnonzero(np.isnan(result["rotation_count"])).tolist() == [2]
    assert np.flatnonzero(np.isnan(result["winding"])).tolist() == [2]
    assert np.isnan(result["rotation_count_per_sample"]).sum() == 30


def test_phase_portrait_holds_mean_trace_and_gradient():
    recording = recording_of_walks()
    result = phase_portrait(recording)
    mean = recording.values.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(result["activation"], mean)
    np.testing.assert_allclose(result["gradient"], np.gradient(mean, axis=0))
    assert result["gradient"].dims == ("site", "unit")
    assert result["gradient"].attrs["units"] == "stream units per site"


@pytest.mark.parametrize("measured", [rotation_counts, phase_portrait])
def test_measures_leave_the_recording_alone_and_name_themselves(measured):
    recording = recording_of_walks()
    before = recording.values.copy()
    result = measured(recording)
    np.testing.assert_array_equal(recording.values, before)
    assert result.attrs["measure"] == f"orbits.{measured.__name__}"


def test_the_histogram_names_what_a_walk_makes():
    result = rotation_counts(recording_of_walks())
    (drawing,) = draw_rotations(result)
    assert "random walk makes 1.94" in drawing.caption
    mean_traces, single = drawing.groups
    np.testing.assert_array_equal(mean_traces.values, np.abs(result["rotation_count"]))
    assert single.values.shape == (30 * 40,)
    assert drawing.plot().get_xlabel() == "magnitude of the rotation count (turns)"
    assert len(drawing.figure().data) == 2


def test_the_portraits_run_from_few_turns_to_many():
    values = recording_of_walks().values.copy()
    values[:, :, 2] = 0.1
    result = phase_portrait(Recording.from_array(values, sites=transformer_labels(6)))
    magnitudes, _ = caught(lambda: np.abs(rotation_count(result["activation"].values.T)))
    paths, heatmap = draw_phase_portrait(result)
    units = [int(path.name.split()[1].rstrip(":")) for path in paths.paths]
    assert magnitudes[units[0]] == np.nanmin(magnitudes)
    assert magnitudes[units[-1]] == np.nanmax(magnitudes)
    assert magnitudes[units[1]] == np.sort(magnitudes)[19]
    for path, unit in zip(paths.paths, units, strict=True):
        np.testing.assert_array_equal(path.points[:, 0], result["activation"][:, unit])
        np.testing.assert_array_equal(path.points[:, 1], result["gradient"][:, unit])
    assert heatmap.values.shape == (40, 13)
    assert (np.diff(heatmap.values[:, -1]) >= 0).all()
    assert (paths.x_label, paths.y_label) == (
        "activation (stream units)",
        "gradient (stream units per site)",
    )
    for drawing in (paths, heatmap):
        assert drawing.plot().get_ylabel()
        assert drawing.figure().data


def test_a_recording_that_never_moves_can_be_drawn():
    result = phase_portrait(Recording.from_array(np.ones((3, 5, 4))))
    paths, heatmap = draw_phase_portrait(result)
    assert len(paths.paths) == 0
    assert heatmap.values.shape == (4, 5)
