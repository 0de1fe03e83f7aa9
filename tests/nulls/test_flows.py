"""Nulls of Jacobians and of updates keep their sizes and nothing else."""

import numpy as np
import pytest

from transformer_dynamics.nulls import (
    moved_displacement,
    random_updates,
    spectrum_matched_updates,
    turned_updates,
)
from transformer_dynamics.perturbation.matrices import traceless_symmetric_energy
from transformer_dynamics.registry import NULLS

RNG = np.random.default_rng(0)
IDENTITY = np.eye(60)


def low_rank_steps():
    """Symmetric updates of falling rank, all along the same leading directions."""
    basis = np.linalg.qr(RNG.standard_normal((60, 60)))[0]
    spectra = np.stack([np.exp(-np.arange(60) / reach) for reach in (2.0, 10.0, 30.0)])
    return IDENTITY + (basis * spectra[:, np.newaxis]) @ basis.T


def singular(matrices):
    return np.linalg.svd(matrices - IDENTITY, compute_uv=False)


def test_spectrum_matched_updates_keep_singular_values_and_no_directions():
    given = low_rank_steps()
    drawn = spectrum_matched_updates(given, seed=1)
    np.testing.assert_allclose(singular(drawn), singular(given), rtol=0, atol=1e-10)
    np.testing.assert_allclose(traceless_symmetric_energy(given - IDENTITY), 1)
    energies = [
        traceless_symmetric_energy(spectrum_matched_updates(given, seed=seed) - IDENTITY)
        for seed in range(30)
    ]
    np.testing.assert_allclose(np.mean(energies, axis=0), 0.5, atol=0.04)
    leading = [np.linalg.svd(each - IDENTITY) for each in drawn]
    first_left, first_right = leading[0][0][:, 0], leading[0][2][0]
    for left, right in ((first_left, leading[1][0][:, 0]), (first_left, first_right)):
        assert abs(left @ right) < 5 / np.sqrt(60)


def test_spectrum_matched_bases_are_haar_distributed():
    rank_one = np.eye(3) + np.diag([1.0, 0.0, 0.0])
    updates = np.array(
        [spectrum_matched_updates(rank_one[np.newaxis], seed=s)[0] for s in range(2000)]
    ) - np.eye(3)
    # u v' with u and v uniform on the sphere: entries of mean 0 and mean square 1/9.
    assert np.abs(updates.mean(axis=0)).max() < 5 / np.sqrt(9 * 2000)
    np.testing.assert_allclose((updates**2).mean(axis=0), 1 / 9, atol=0.02)


def test_products_of_random_updates_keep_more_rank_than_spectrum_matched_ones():
    given = np.repeat(low_rank_steps()[:1], 8, axis=0) - 0.9 * IDENTITY
    given = IDENTITY + 3 * (given - 0.1 * IDENTITY)
    shares = {}
    for null in (random_updates, spectrum_matched_updates):
        product = np.linalg.multi_dot(null(given, seed=1))
        values = np.linalg.svd(product, compute_uv=False)
        shares[null] = values.sum() / values.max()
    assert shares[spectrum_matched_updates] < shares[random_updates]


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
