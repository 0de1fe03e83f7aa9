"""Rank correlations against scipy, and the calibration of their null."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from transformer_dynamics.perturbation.jacobians.rank_correlation import rank_correlation


def test_a_gain_of_variance_or_strength_alone_leaves_no_partial_correlation():
    """Variance drives both: the plain correlation is there, the partial one is not."""
    rng = np.random.default_rng(0)
    variance = rng.standard_normal(400)
    first, second = variance + 0.3 * rng.standard_normal((2, 400))
    assert rank_correlation(first, second).value > 0.8
    partial = rank_correlation(first, second, [variance])
    assert abs(partial.value) < 0.15
    assert partial.p > 0.05


def test_rank_correlation_is_that_of_scipy_and_p_is_calibrated():
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, 12, (200, 2, 30)).astype(float)
    found = [
        rank_correlation(*pair, n_permutations=39, seed=seed) for seed, pair in enumerate(pairs)
    ]
    expected = [spearmanr(*pair).statistic for pair in pairs]
    np.testing.assert_allclose([each.value for each in found], expected, atol=1e-9)
    # 5 % of 200, with three binomial standard deviations.
    assert sum(each.p <= 0.05 for each in found) <= 10 + 3 * np.sqrt(9.5)


def test_partial_correlation_is_that_of_residuals():
    rng = np.random.default_rng(2)
    given = rng.standard_normal((2, 50))
    first, second = given.sum(axis=0) + rng.standard_normal((2, 50))
    ranks = np.argsort(np.argsort([first, second, *given], axis=1), axis=1).astype(float)
    design = np.column_stack([np.ones(50), *ranks[2:]])
    left = [each - design @ np.linalg.lstsq(design, each)[0] for each in ranks[:2]]
    value = rank_correlation(first, second, list(given)).value
    assert value == pytest.approx(np.corrcoef(left)[0, 1])


@pytest.mark.parametrize(
    ("first", "given"),
    [
        (np.ones(20), []),
        (np.arange(20.0), [np.arange(20.0)]),
        (np.where(np.arange(20) < 4, np.arange(20.0), np.nan), []),
    ],
    ids=["constant", "explained", "too few"],
)
def test_rank_correlations_without_an_answer_are_nan(first, given):
    second = np.random.default_rng(0).permutation(20.0 * np.arange(20))
    assert np.isnan(rank_correlation(first, second, given)).all()
