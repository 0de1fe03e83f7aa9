"""The synthetic systems have the answers their docstrings state."""

import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.errors import RecordingError

SYSTEMS = [
    synthetic.random_walk,
    synthetic.independent_states,
    synthetic.line,
    synthetic.rotation,
    synthetic.spiral,
    synthetic.contraction,
    synthetic.ping_pong,
]


def steps_of(values):
    return np.diff(values, axis=1)


def norms(values):
    return np.linalg.norm(values, axis=-1)


def cosine(a, b):
    return (a * b).sum(-1) / norms(a) / norms(b)


def turning_angles(values):
    steps = steps_of(values)
    return np.arccos(np.clip(cosine(steps[:, 1:], steps[:, :-1]), -1, 1))


def each_system():
    return pytest.mark.parametrize("system", SYSTEMS, ids=lambda function: function.__name__)


@each_system()
def test_shape_dtype_labels_provenance_and_seed(system):
    recording = system(n_samples=3, n_sites=5, n_units=4, seed=2)
    assert recording.shape == (3, 5, 4)
    assert recording.values.dtype == np.float64
    assert recording.sites[1] == "1.state"
    assert recording.provenance["system"] == system.__name__
    assert recording.provenance["seed"] == 2
    again, other = (system(n_samples=3, n_sites=5, n_units=4, seed=seed) for seed in (2, 3))
    np.testing.assert_array_equal(recording.values, again.values)
    assert not np.allclose(recording.values, other.values)
    assert not np.allclose(recording.values[0], recording.values[1])


@each_system()
def test_default_size_and_one_site(system):
    assert system().shape == (64, 32, 16)
    assert np.isfinite(system(n_sites=1).values).all()


@each_system()
@pytest.mark.parametrize("name", ["n_samples", "n_sites", "n_units"])
def test_nothing_is_no_recording(system, name):
    with pytest.raises(RecordingError, match="non-empty array of floats"):
        system(**{name: 0})


@pytest.mark.parametrize("system", [synthetic.rotation, synthetic.spiral])
def test_units_turn_in_pairs(system):
    with pytest.raises(ValueError, match=r"got n_units=5; .*rotation\(n_units=6\)"):
        system(n_units=5)


def test_random_walk_has_gaussian_steps_and_the_walk_s_correlations():
    values = synthetic.random_walk(n_samples=4000, n_sites=32, n_units=8, step=2.0).values
    steps = np.concatenate([values[:, :1], steps_of(values)], axis=1)
    assert steps.std() == pytest.approx(2, rel=0.01)
    assert ((steps / 2) ** 4).mean() == pytest.approx(3, rel=0.02)
    assert abs((steps[:, 1:] * steps[:, :-1]).mean()) < 0.05
    for first, second in [(1, 2), (10, 11), (4, 16)]:
        correlation = np.corrcoef(values[:, first - 1, 0], values[:, second - 1, 0])[0, 1]
        assert correlation == pytest.approx(np.sqrt(first / second), abs=0.04)
    assert turning_angles(values).mean() == pytest.approx(np.pi / 2, abs=0.01)


def test_random_walk_s_cosine_with_many_units():
    values = synthetic.random_walk(n_samples=4, n_sites=6, n_units=20_000).values
    expected = np.sqrt(np.arange(1, 6) / np.arange(2, 7))
    np.testing.assert_allclose(cosine(values[:, 1:], values[:, :-1]).mean(0), expected, atol=0.01)


def test_random_walk_s_rotation_count():
    traces = synthetic.random_walk(n_samples=1, n_sites=64, n_units=3000).values[0].T
    gradient = np.gradient(traces, axis=1)
    angles = np.arctan2(np.diff(gradient), np.diff(traces))
    turn = np.angle(np.exp(1j * np.diff(angles, axis=1)))
    counts = turn.sum(axis=1) / (2 * np.pi)
    assert counts.mean() == pytest.approx(-10.94, abs=0.12)
    assert counts.std() == pytest.approx(1.68, abs=0.1)


def test_independent_states_turn_by_two_thirds_of_pi():
    values = synthetic.independent_states(n_samples=50, n_sites=20, n_units=2000, scale=3.0).values
    assert turning_angles(values).mean() == pytest.approx(2 * np.pi / 3, abs=0.005)
    assert abs(cosine(values[:, 1:], values[:, :-1]).mean()) < 0.005
    assert (norms(steps_of(values)) ** 2).mean() == pytest.approx(9 * 2 * 2000, rel=0.01)


def test_independent_states_fill_all_dimensions():
    states = synthetic.independent_states(n_samples=20_000, n_sites=1, n_units=5).values[:, 0]
    eigenvalues = np.linalg.eigvalsh(np.cov(states, rowvar=False))
    assert eigenvalues.sum() ** 2 / (eigenvalues**2).sum() == pytest.approx(5, rel=0.01)


def test_line_is_straight_and_of_constant_speed():
    values = synthetic.line(speed=0.7).values
    steps = steps_of(values)
    np.testing.assert_allclose(norms(steps), 0.7)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), atol=1e-12)
    np.testing.assert_allclose(norms(values[:, -1] - values[:, 0]), 0.7 * 31)
    assert np.abs(cosine(steps[0, 0], steps[1:, 0])).max() < 0.95


@pytest.mark.parametrize("turns", [1.0, 2.0, 4.5])
def test_rotation_keeps_radius_and_turns_by_a_constant_angle(turns):
    values = synthetic.rotation(turns=turns, n_sites=64).values
    theta = 2 * np.pi * turns / 63
    np.testing.assert_allclose(norms(values), np.broadcast_to(norms(values)[:, :1], (64, 64)))
    np.testing.assert_allclose(cosine(values[:, 1:], values[:, :-1]), np.cos(theta))
    np.testing.assert_allclose(turning_angles(values), theta, rtol=1e-6)
    for pair in range(8):
        x, y = values[..., 2 * pair], values[..., 2 * pair + 1]
        angle = np.unwrap(np.arctan2(y, x), axis=1)
        np.testing.assert_allclose(np.diff(angle, axis=1), theta)
        np.testing.assert_allclose(angle[:, -1] - angle[:, 0], 2 * np.pi * turns)


def test_rotation_of_one_turn_ends_where_it_began():
    values = synthetic.rotation(turns=1.0).values
    np.testing.assert_allclose(values[:, -1], values[:, 0], atol=1e-12)
    np.testing.assert_allclose(values[:, 0].std(), 1, atol=0.1)


@pytest.mark.parametrize("growth", [0.9, 1.0, 1.1])
def test_spiral_s_step_is_one_linear_map_with_known_eigenvalues(growth):
    values = synthetic.spiral(turns=3.0, growth=growth, n_sites=31, n_units=4).values
    theta = 2 * np.pi * 3 / 30
    np.testing.assert_allclose(norms(values[:, 1:]) / norms(values[:, :-1]), growth)
    steps = steps_of(values)
    np.testing.assert_allclose(norms(steps[:, 1:]) / norms(steps[:, :-1]), growth)
    np.testing.assert_allclose(cosine(values[:, 1:], values[:, :-1]), np.cos(theta))
    np.testing.assert_allclose(turning_angles(values), theta, rtol=1e-6)
    step_map, residual, *_ = np.linalg.lstsq(
        values[:, :-1].reshape(-1, 4), values[:, 1:].reshape(-1, 4), rcond=None
    )
    assert residual.max() < 1e-18
    eigenvalues = np.linalg.eigvals(step_map)
    np.testing.assert_allclose(np.abs(eigenvalues), growth)
    np.testing.assert_allclose(np.abs(np.angle(eigenvalues)), theta)


@pytest.mark.parametrize("factor", [0.5, 0.9])
def test_contraction_s_distances_shrink_by_the_factor(factor):
    values = synthetic.contraction(factor=factor, fixed_point=-2.0, n_sites=12).values
    expected = factor ** np.arange(12)
    to_fixed_point = norms(values + 2)
    np.testing.assert_allclose(to_fixed_point / to_fixed_point[:, :1], np.tile(expected, (64, 1)))
    between = norms(values[0] - values[1])
    np.testing.assert_allclose(between / between[0], expected)
    speed = norms(steps_of(values))
    np.testing.assert_allclose(speed[:, 1:] / speed[:, :-1], factor)
    np.testing.assert_allclose(turning_angles(values), 0, atol=1e-5)


def test_contraction_comes_close_to_its_fixed_point():
    np.testing.assert_allclose(synthetic.contraction(n_sites=60).values[:, -1], 1, atol=1e-12)


def test_ping_pong_goes_there_and_back():
    values = synthetic.ping_pong(distance=3.0, n_sites=7).values
    np.testing.assert_allclose(norms(steps_of(values)), 3)
    np.testing.assert_allclose(turning_angles(values), np.pi, atol=1e-6)
    np.testing.assert_allclose(values[:, 2:], values[:, :-2])
    np.testing.assert_allclose(norms(values[:, 5] - values[:, 0]), 3)
