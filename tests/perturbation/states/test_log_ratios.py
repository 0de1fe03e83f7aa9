"""Log ratios of distances, against the plain formula on the states themselves."""

import numpy as np
import pytest

from transformer_dynamics.perturbation.states.log_ratios import (
    _of_zero_update,
    _products,
    log_ratios,
)

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 2, 5)
CLEAN = 3.0 * RNG.standard_normal((5, 40)) + 1.0


def plain(states):
    """From states `(kind, size, state, site, unit)`, each divided by its root mean square."""
    scaled, clean = (
        each / np.sqrt((each**2).mean(axis=-1, keepdims=True)) for each in (states, CLEAN)
    )
    distances = [
        np.linalg.norm(states - CLEAN, axis=-1),
        np.linalg.norm(scaled - clean, axis=-1),
    ]
    return np.stack([np.log(each / each[..., :1]).mean(axis=2) for each in distances])


@pytest.mark.parametrize("size", [1e-5, 0.1, 1.0, 30.0])
def test_both_log_ratios_are_those_of_the_states(size):
    deviations = size * RNG.standard_normal((*SHAPE, 40)) * np.linspace(1, 3, 5)[:, np.newaxis]
    found = log_ratios(*_products(deviations, CLEAN), CLEAN)
    np.testing.assert_allclose(found, plain(CLEAN + deviations), rtol=1e-6, atol=1e-8)


def test_states_beyond_a_right_angle_and_multiples_of_the_clean_state():
    opposite = -2.0 * CLEAN + RNG.standard_normal((*SHAPE, 40))
    found = log_ratios(*_products(opposite, CLEAN), CLEAN)
    np.testing.assert_allclose(found, plain(CLEAN + opposite), rtol=1e-9, atol=1e-12)
    turned = RNG.standard_normal((*SHAPE, 40))
    turned[..., 2, :] = 0.5 * CLEAN[2]  # the norm gives nothing of it to the next layer
    _, normalized = log_ratios(*_products(turned, CLEAN), CLEAN)
    assert (normalized[..., 2] < -10).all()
    assert np.isfinite(normalized[..., [1, 3, 4]]).all()


def test_a_displacement_that_is_kept_needs_no_states():
    moved = RNG.standard_normal((*SHAPE[:-1], 40))
    found = log_ratios(*_of_zero_update(moved, CLEAN), CLEAN)
    np.testing.assert_allclose(found, plain(CLEAN + moved[..., np.newaxis, :]), atol=1e-12)
