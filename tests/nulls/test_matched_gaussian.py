import numpy as np
import pytest
from scipy.optimize import minimize

from transformer_dynamics.nulls.matched_gaussian import matched_gaussian


def states(n_samples=200, n_sites=7, n_units=5, *, seed=0):
    """Smooth over sites, correlated and unequal units, a mean of its own."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_units, n_units)) * np.geomspace(0.2, 4, n_units)
    walk = (rng.standard_normal((n_samples, n_sites, n_units)) @ mixing).cumsum(axis=1)
    return walk + 10 * rng.standard_normal((n_sites, n_units))


def covariances(values):
    """Across sites and across units, from deviations from the sample mean."""
    deviations = values - values.mean(axis=0)
    degrees = len(values) - 1
    return (
        np.einsum("nsu,ntu->st", deviations, deviations) / degrees,
        np.einsum("nsu,nsv->uv", deviations, deviations) / degrees,
    )


def test_its_marginal_covariances_are_those_of_the_states():
    values = states()
    gaussian = matched_gaussian(values)
    across_sites, across_units = covariances(values)
    sites, units = gaussian.site_axes, gaussian.unit_axes
    np.testing.assert_allclose(
        sites * gaussian.variance.sum(axis=1) @ sites.T, across_sites, atol=1e-7
    )
    np.testing.assert_allclose(
        units * gaussian.variance.sum(axis=0) @ units.T, across_units, atol=1e-7
    )
    np.testing.assert_allclose(gaussian.mean, values.mean(axis=0))


def test_no_other_table_of_these_sums_has_more_entropy():
    variance = matched_gaussian(states(n_sites=3, n_units=4)).variance
    rows, columns = variance.sum(axis=1), variance.sum(axis=0)
    sums = [
        {"type": "eq", "fun": lambda x: np.exp(x).reshape(3, 4).sum(axis=1) / rows - 1},
        {"type": "eq", "fun": lambda x: np.exp(x).reshape(3, 4).sum(axis=0)[1:] / columns[1:] - 1},
    ]
    product = np.outer(rows, columns) / rows.sum()
    found = minimize(
        lambda x: -x.sum(), np.log(product).ravel(), constraints=sums, options={"maxiter": 500}
    )
    assert found.success
    # The entropy of a Gaussian is half the sum of ln variance; the product table has less.
    np.testing.assert_allclose(np.log(variance).sum(), found.x.sum(), atol=1e-5)
    np.testing.assert_allclose(np.exp(found.x).reshape(3, 4), variance, rtol=2e-3)
    assert np.log(variance).sum() > np.log(product).sum() + 0.01


@pytest.mark.parametrize("decades", [1, 6, 10])
def test_solved_for_variances_that_differ_by_orders_of_magnitude(decades):
    rng = np.random.default_rng(decades)
    units = 10 ** rng.uniform(-decades / 2, 0, 40)
    sites = 10 ** rng.uniform(-decades / 2, 0, 12)
    values = rng.standard_normal((600, 12, 40)) * units * sites[:, np.newaxis]
    gaussian = matched_gaussian(values)
    across_sites, across_units = covariances(values)
    for axis, covariance in ((1, across_sites), (0, across_units)):
        np.testing.assert_allclose(
            gaussian.variance.sum(axis=axis), np.linalg.eigvalsh(covariance), rtol=1e-6
        )


def test_draws_have_the_mean_exactly_and_the_covariances_in_expectation():
    values = states(n_samples=40)
    gaussian, rng = matched_gaussian(values), np.random.default_rng(1)
    draws = [gaussian.draw(40, rng) for _ in range(600)]
    for draw in draws[:5]:
        np.testing.assert_allclose(draw.mean(axis=0), values.mean(axis=0), atol=1e-12)
    wanted = covariances(values)
    drawn = [np.mean(kind, axis=0) for kind in zip(*map(covariances, draws), strict=True)]
    for found, expected in zip(drawn, wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())
        assert np.abs(found / expected - 1).mean() < 0.1


def test_no_unit_leads_another():
    """Lagged covariance of two units is the same both ways, though it is not in the states."""
    angle = np.linspace(0, 3, 12) + np.random.default_rng(2).uniform(0, 7, (300, 1))
    values = np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def lead(paths):
        return np.mean(paths[:, :-1, 0] * paths[:, 1:, 1] - paths[:, 1:, 0] * paths[:, :-1, 1])

    gaussian = matched_gaussian(values)
    drawn = [lead(gaussian.draw(300, np.random.default_rng(seed))) for seed in range(100)]
    assert lead(values) > 0.2
    assert abs(np.mean(drawn)) < 0.02


def test_draws_by_seed_and_dtype():
    gaussian = matched_gaussian(states())
    first, again, other = (
        gaussian.draw(70, np.random.default_rng(seed), dtype=np.float32) for seed in (3, 3, 4)
    )
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "values", [states(n_samples=1), np.repeat(states(n_samples=1), 5, axis=0)], ids=["one", "equal"]
)
def test_samples_that_agree_are_drawn_as_they_are(values):
    draw = matched_gaussian(values).draw(len(values), np.random.default_rng(0))
    np.testing.assert_allclose(draw, values, rtol=1e-15)


def test_fewer_samples_than_directions_and_units_at_rest():
    values = states(n_samples=3, n_sites=6, n_units=40)
    values[:, :, 3] = 2.0
    values[:, 0] = 1.0
    gaussian = matched_gaussian(values)
    across_sites, across_units = covariances(values)
    np.testing.assert_allclose(gaussian.variance.sum(), np.trace(across_sites), rtol=1e-9)
    assert gaussian.variance.shape == (5, np.linalg.matrix_rank(across_units))
    draw = gaussian.draw(50, np.random.default_rng(0))
    np.testing.assert_allclose(
        draw[:, :, 3], np.where(np.arange(6) > 0, 2.0, 1.0) * np.ones((50, 1))
    )
