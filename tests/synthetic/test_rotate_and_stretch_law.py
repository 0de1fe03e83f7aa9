"""The simulator of the rotate-and-stretch law has the documented covariances."""

import numpy as np
import pytest

from transformer_dynamics.errors import InputError
from transformer_dynamics.synthetic.rotate_and_stretch import rotate_and_stretch_law


def test_second_moments_between_sites_are_those_of_the_law():
    alpha, growth, turn, units = 2.0, 0.3, 0.4, 4
    recording = rotate_and_stretch_law(
        alpha=alpha, growth=growth, signal=5, turn=turn, n_samples=40_000, n_sites=3, n_units=units
    )
    values = recording.values
    spread = 5 * np.sqrt(alpha) * 0.7 ** np.arange(units)
    within = [np.linalg.eigvalsh(v.T @ v / len(v))[::-1] for v in np.moveaxis(values, 1, 0)]
    for site, found in enumerate(within):
        expected = np.exp(growth * site) * (spread**2 + alpha / 2)
        np.testing.assert_allclose(found, expected, rtol=0.03)
    # Between sites the noise is fresh: singular values of the common part alone.
    across = np.linalg.svd(values[:, 0].T @ values[:, 2] / len(values), compute_uv=False)
    np.testing.assert_allclose(across, np.exp(growth) * spread**2, rtol=0.03, atol=0.1)


def test_directions_turn_by_the_angle():
    values = rotate_and_stretch_law(
        signal=1e4, turn=0.25, n_samples=50, n_sites=4, n_units=2, growth=0.0
    ).values
    first, last = (np.linalg.svd(values[:, site])[2][0] for site in (0, 3))
    assert abs(first @ last) == pytest.approx(np.cos(0.75), abs=1e-3)


def test_the_same_seed_gives_the_same_bits_and_an_odd_direction_stays():
    one, same = (rotate_and_stretch_law(n_samples=5, n_units=3, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.values, same.values)
    assert one.provenance["system"] == "rotate_and_stretch_law"


@pytest.mark.parametrize("alpha", [0.0, -1.0])
def test_errors_name_the_call_that_works(alpha):
    with pytest.raises(InputError, match=r"alpha=0\.64"):
        rotate_and_stretch_law(alpha=alpha)
