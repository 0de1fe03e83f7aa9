"""Nulls of Jacobians and of updates: sizes are kept, structure is destroyed."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from transformer_dynamics.nulls import (
    moved_displacement,
    random_updates,
    spectrum_matched_updates,
    turned_updates,
)
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.perturbation.jacobians.normality import traceless_symmetric_energy
from transformer_dynamics.registry import NULLS
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)
IDENTITY = np.eye(60)


def low_rank_steps():
    """Symmetric updates of falling rank, all along the same leading directions."""
    basis = np.linalg.qr(RNG.standard_normal((60, 60)))[0]
    spectra = np.stack([np.exp(-np.arange(60) / reach) for reach in (2.0, 10.0, 30.0)])
    return IDENTITY + (basis * spectra[:, np.newaxis]) @ basis.T


def traceless(matrices):
    updates = matrices - np.eye(matrices.shape[-1])
    means = np.trace(updates, axis1=1, axis2=2) / matrices.shape[-1]
    return updates - means[:, np.newaxis, np.newaxis] * np.eye(matrices.shape[-1]), means


def test_spectrum_matched_updates_keep_mean_diagonal_and_singular_values_and_no_directions():
    given = low_rank_steps() - 0.3 * IDENTITY
    drawn = spectrum_matched_updates(given, seed=1)
    rest, means = traceless(given)
    random = drawn - IDENTITY - means[:, np.newaxis, np.newaxis] * IDENTITY
    kept, expected = (np.linalg.svd(each, compute_uv=False) for each in (random, rest))
    np.testing.assert_allclose(kept, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(traceless(drawn)[1], means, atol=0.1)
    np.testing.assert_allclose(traceless_symmetric_energy(given - IDENTITY), 1)
    energies = [
        traceless_symmetric_energy(spectrum_matched_updates(given, seed=seed) - IDENTITY)
        for seed in range(30)
    ]
    np.testing.assert_allclose(np.mean(energies, axis=0), 0.5, atol=0.04)
    first, second = (np.linalg.svd(each) for each in random[:2])
    for one, other in ((first[0][:, 0], second[0][:, 0]), (first[0][:, 0], first[2][0])):
        assert abs(one @ other) < 5 / np.sqrt(60)


def test_spectrum_matched_bases_are_haar_distributed():
    given = np.eye(3) + np.diag([1.0, 0.0, 0.0])
    rest, means = traceless(given[np.newaxis])
    steps = np.repeat(given[np.newaxis], 100, axis=0)
    draws = np.concatenate([spectrum_matched_updates(steps, seed=s) for s in range(20)])
    random = draws - (1 + means[0]) * np.eye(3)
    # Every entry has mean 0 and an equal share of the squared norm.
    share = np.square(rest).sum() / 9
    assert np.abs(random.mean(axis=0)).max() < 5 * np.sqrt(share / 2000)
    np.testing.assert_allclose(np.square(random).mean(axis=0), share, rtol=0.12)


def test_layers_that_shrink_all_alike_are_kept_and_low_rank_narrows_products():
    shrinking = np.stack([0.4 * IDENTITY] * 3)
    drawn = spectrum_matched_updates(shrinking, seed=1)
    np.testing.assert_allclose(drawn, shrinking, atol=1e-12)
    update = low_rank_steps()[0] - IDENTITY
    given = np.stack([IDENTITY + 20 * update] * 8)
    ranks = {}
    for null in (random_updates, spectrum_matched_updates):
        values = np.linalg.svd(np.linalg.multi_dot(null(given, seed=1)), compute_uv=False)
        ranks[null] = values.sum() / values.max()
    assert ranks[spectrum_matched_updates] < 0.5 * ranks[random_updates]


def test_moved_displaces_by_the_update_s_norm_and_turned_by_more():
    updates = RNG.standard_normal((400, 64)) * np.geomspace(0.01, 100, 400)[:, np.newaxis]
    norms = np.linalg.norm(updates, axis=1)
    displaced = moved_displacement(updates, seed=2) - updates
    np.testing.assert_allclose(np.linalg.norm(displaced, axis=1), norms)
    cosines = (displaced * updates).sum(axis=1) / norms**2
    assert abs(cosines.mean()) < 5 / np.sqrt(400 * 64)
    turned = np.linalg.norm(turned_updates(updates, seed=2) - updates, axis=1) / norms
    assert np.sqrt(np.mean(turned**2)) == pytest.approx(np.sqrt(2), abs=0.02)


@pytest.mark.parametrize(
    ("name", "null", "given"),
    [
        ("moved", moved_displacement, RNG.standard_normal((5, 7))),
        ("spectrum_matched_updates", spectrum_matched_updates, RNG.standard_normal((3, 6, 6))),
    ],
)
def test_seed_input_and_registration(name, null, given):
    before = given.copy()
    first, again, other = (null(given, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(given, before)
    entry = NULLS.get(name)
    assert entry.function is null
    assert entry.of == ("updates" if given.ndim == 2 else "jacobians")
    assert entry.keeps
    assert entry.destroys


def test_an_update_of_zero_stays():
    np.testing.assert_array_equal(moved_displacement(np.zeros((2, 3))), 0)
    identity = np.eye(4)[np.newaxis]
    np.testing.assert_array_equal(spectrum_matched_updates(identity), identity)


def test_new_bases_are_those_of_scipy():
    given = low_rank_steps()
    rng = np.random.default_rng(5)
    drawn = spectrum_matched_updates(given, seed=5)
    for step, matrix in enumerate(given):
        left, right = (ortho_group.rvs(60, random_state=rng) for _ in range(2))
        uniform = np.trace(matrix) / 60 * IDENTITY
        values = np.linalg.svd(matrix - uniform, compute_uv=False)
        np.testing.assert_allclose(drawn[step], uniform + (left * values) @ right.T, atol=1e-12)


def test_zero_update_moves_every_state_as_the_unperturbed_one():
    flow = LinearFlowMap(RNG.standard_normal((3, 4, 4)), RNG.standard_normal((3, 4)))
    still, states = zero_update(flow), RNG.standard_normal((2, 4))
    carried = still.advance(states, "1.state", "3.state", keep=["3.state"])[:, 0]
    np.testing.assert_allclose(carried, states + flow.clean[3] - flow.clean[1])
    np.testing.assert_array_equal(still.clean, flow.clean)
    np.testing.assert_array_equal(still.jacobian("0.state", "2.state"), np.eye(4))
    np.testing.assert_array_equal(still.jvp(states, "0.state", "2.state"), states)
