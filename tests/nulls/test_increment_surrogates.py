"""Signs and order of whole layers: relations within a layer are kept, between layers destroyed."""

import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.measures.orbits.rotation import rotation_count
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.nulls import permuted_layers, sign_flipped_increments, sign_flipped_layers
from transformer_dynamics.recording import Recording

N_LAYERS = 30


def alternating(*, n_samples=1, n_units=576, seed=0):
    """Layers whose MLP update is -0.5 x their attention update and noise, the final site kept."""
    rng = np.random.default_rng(seed)
    attention = rng.standard_normal((n_samples, N_LAYERS, n_units))
    mlp = -0.5 * attention + 0.3 * rng.standard_normal(attention.shape)
    steps = np.stack([attention, mlp], axis=2).reshape(n_samples, 2 * N_LAYERS, n_units)
    states = np.concatenate([np.zeros((n_samples, 1, n_units)), steps.cumsum(axis=1)], axis=1)
    return Recording.from_array(states, sites=transformer_labels(N_LAYERS))


def increments(recording):
    return np.diff(recording.values, axis=1)


@pytest.mark.parametrize("last", ["final", "29.pre_mlp"])
def test_a_layer_s_steps_flip_together_and_layers_do_not(last):
    recording = alternating(n_samples=3)
    recording = recording if last == "final" else recording.sublayers
    assert recording.sites[-1] == last
    drawn = sign_flipped_layers(recording, seed=1)
    ratio = increments(drawn) / increments(recording)
    signs = np.round(ratio)
    np.testing.assert_allclose(ratio, signs, atol=1e-9)
    np.testing.assert_array_equal(np.abs(signs), 1)
    assert (signs == signs[0]).all()
    n_steps = signs.shape[1] // 2 * 2
    np.testing.assert_array_equal(signs[0, 0:n_steps:2], signs[0, 1:n_steps:2])
    between = np.corrcoef(signs[0, 0:-2:2].ravel(), signs[0, 2::2].ravel())[0, 1]
    assert abs(between) < 5 / np.sqrt(29 * 576)


def test_turns_that_alternation_makes_stay_when_layers_flip_and_go_when_steps_do():
    recording = alternating().sublayers

    def turns(recording):
        counts = np.abs(rotation_count(recording.values[0].T))
        return counts.mean(), counts.std() / np.sqrt(counts.size)

    value, error = turns(recording)
    layers = [turns(sign_flipped_layers(recording, seed=seed))[0] for seed in range(20)]
    steps = [turns(sign_flipped_increments(recording, seed=seed))[0] for seed in range(20)]
    assert abs(np.mean(layers) - value) < 4 * error
    assert value - np.mean(steps) > 8 * error


@pytest.mark.parametrize("last", ["final", "29.pre_mlp"])
def test_permuted_layers_move_whole_layers_and_steps_keep_their_kind(last):
    recording = alternating(n_units=20)
    recording = recording if last == "final" else recording.sublayers
    before, after = increments(recording)[0], increments(permuted_layers(recording, seed=2))[0]
    distance = np.abs(after[:, np.newaxis] - before).max(axis=-1)
    order = distance.argmin(axis=1)
    np.testing.assert_allclose(after, before[order], atol=1e-9)
    n_whole = len(order) // 2
    pairs = order[: 2 * n_whole].reshape(-1, 2)
    np.testing.assert_array_equal(pairs[:, 1], pairs[:, 0] + 1)
    assert sorted(pairs[:, 0]) == list(range(0, 2 * n_whole, 2))
    assert list(pairs[:, 0]) != sorted(pairs[:, 0])
    if last != "final":  # the last layer's attention step has no MLP step and stays
        assert order[-1] == len(order) - 1


def test_layers_of_another_kind_stay_among_themselves():
    sites = ["0.pre_block", "1.pre_attn", "1.pre_mlp", "2.pre_block", "3.pre_attn", "3.pre_mlp"]
    values = np.cumsum(2.0 ** np.arange(7))[np.newaxis, :, np.newaxis]
    recording = Recording.from_array(values, sites=[*sites, "final"])
    drawn = {
        tuple(increments(permuted_layers(recording, seed=seed))[0, :, 0]) for seed in range(30)
    }
    blocks, pairs = [(2, 16), (16, 2)], [((4, 8), (32, 64)), ((32, 64), (4, 8))]
    assert drawn == {(a, *p, b, *q) for a, b in blocks for p, q in pairs}


def test_with_one_site_per_layer_single_steps_move():
    recording = synthetic.random_walk(n_samples=2, n_sites=40, n_units=50)
    np.testing.assert_array_equal(
        sign_flipped_layers(recording, seed=3).values,
        sign_flipped_increments(recording, seed=3).values,
    )
    before, after = increments(recording), increments(permuted_layers(recording, seed=3))
    order = np.abs(after[0][:, np.newaxis] - before[0]).max(axis=-1).argmin(axis=1)
    assert sorted(order) == list(range(39))
    assert (np.diff(order) == 1).mean() < 0.2
