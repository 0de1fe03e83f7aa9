"""P-values, effect sizes and the false discovery rate: closed forms, oracles, calibration."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.stats.effect_size import effect_size
from transformer_dynamics.stats.false_discovery import benjamini_hochberg
from transformer_dynamics.stats.significance import (
    has_exceeded,
    joint_student_p,
    monte_carlo_p,
    sequential_p,
    student_p,
)

finite = st.floats(-100, 100)


@pytest.mark.parametrize(
    ("observed", "direction", "expected"),
    [
        (10.0, "greater", 1 / 5),
        (10.0, "less", 1.0),
        (10.0, "two-sided", 2 / 5),
        (-10.0, "greater", 1.0),
        (-10.0, "less", 1 / 5),
        (-10.0, "two-sided", 2 / 5),
        (1.0, "greater", 4 / 5),  # a tie counts against the observed value on either side
        (1.0, "less", 4 / 5),
        (1.0, "two-sided", 1.0),
        (2.0, "greater", 2 / 5),
        (np.inf, "greater", 1 / 5),
    ],
)
def test_p_of_four_draws(observed, direction, expected):
    p = monte_carlo_p(observed, [0.0, 1.0, 1.0, 3.0], direction=direction)
    assert p == pytest.approx(expected)


@settings(max_examples=60)
@given(observed=finite, null=st.lists(finite, min_size=1, max_size=30))
def test_p_agrees_with_scipy_and_directions_mirror_each_other(observed, null):
    greater, less, both = (
        monte_carlo_p(observed, null, direction=direction)
        for direction in ("greater", "less", "two-sided")
    )
    assert greater == (1 + sum(draw >= observed for draw in null)) / (1 + len(null))
    assert less == monte_carlo_p(-observed, [-draw for draw in null])
    assert both == min(1, 2 * min(greater, less))
    assert 1 / (1 + len(null)) <= min(greater, less) <= both <= 1


def test_p_agrees_with_scipy_s_monte_carlo_test():
    rng = np.random.default_rng(0)
    sample, n = rng.standard_normal(20) + 0.4, 199
    for direction in ("greater", "less", "two-sided"):
        oracle = stats.monte_carlo_test(
            sample,
            rng.standard_normal,
            lambda x, axis: x.mean(axis=axis),
            n_resamples=n,
            alternative=direction,
            vectorized=True,
        )
        ours = monte_carlo_p(sample.mean(), oracle.null_distribution, direction=direction)
        assert ours == pytest.approx(oracle.pvalue)


@pytest.mark.parametrize("direction", ["greater", "less", "two-sided"])
def test_p_is_uniform_under_the_null(direction):
    draws = np.random.default_rng(0).standard_normal((40, 20_000))
    p = monte_carlo_p(draws[0], draws[1:], direction=direction)
    for level in (0.05, 0.1, 0.5):
        standard_error = np.sqrt(level * (1 - level) / p.size)
        assert (p <= level + 1e-12).mean() == pytest.approx(level, abs=4 * standard_error)


def test_p_for_many_statistics_at_once():
    null = np.random.default_rng(0).standard_normal((9, 2, 3))
    observed = np.array([[-9.0, 9.0, 0.0], [9.0, -9.0, 9.0]])
    p = monte_carlo_p(observed, null)
    assert p.shape == (2, 3)
    np.testing.assert_allclose(p[[0, 0, 1], [0, 1, 0]], [1.0, 0.1, 0.1])
    assert isinstance(monte_carlo_p(1.0, [0.0]), float)


@pytest.mark.filterwarnings("error")
def test_nan_in_nan_out_and_nowhere_else():
    null = np.zeros((5, 4))
    null[2, 1] = np.nan
    observed = np.array([1.0, 1.0, np.nan, 1.0])
    for direction in ("greater", "less", "two-sided"):
        p = monte_carlo_p(observed, null, direction=direction)
        np.testing.assert_array_equal(np.isnan(p), [False, True, True, False])


def test_effect_is_the_distance_in_null_deviations():
    null = np.random.default_rng(0).normal(3.0, 2.0, size=(50, 4))
    observed = np.array([3.0, 7.0, -1.0, 0.0])
    expected = (observed - null.mean(axis=0)) / null.std(axis=0, ddof=1)
    np.testing.assert_allclose(effect_size(observed, null), expected)
    assert effect_size(10.0, [0.0, 2.0]) == pytest.approx(9 / np.sqrt(2))
    assert effect_size(-10.0, [0.0, 2.0]) == pytest.approx(-11 / np.sqrt(2))


@settings(max_examples=50)
@given(shift=finite, scale=st.floats(0.1, 10), seed=st.integers(0, 100))
def test_effect_ignores_origin_and_unit(shift, scale, seed):
    null = np.random.default_rng(seed).standard_normal(10)
    moved = effect_size(shift + scale * 1.5, shift + scale * null)
    assert moved == pytest.approx(effect_size(1.5, null), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("observed", "null", "undefined"),
    [
        (1.0, [], [True]),
        (1.0, [0.5], [True]),
        (1.0, [0.1, 0.1, 0.1], [True]),
        ([1.0, 1.0], [[0.1, 0.0], [0.1, 1.0], [0.1, 0.5]], [True, False]),
    ],
)
def test_effect_is_undefined_with_one_warning_where_the_null_does_not_vary(
    observed, null, undefined
):
    with pytest.warns(UndefinedWarning, match="effect size is undefined") as caught:
        effect = effect_size(observed, null)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(np.isnan(np.atleast_1d(effect)), undefined)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("observed", "null"),
    [
        (np.nan, [0.0, 1.0]),
        (0.0, [np.nan, 1.0]),
        (np.inf, [0.0, 1.0]),
        (0.0, [np.inf, 1.0]),
        (0.0, [np.inf, -np.inf]),
    ],
)
def test_effect_of_what_is_not_finite_is_nan_without_a_warning(observed, null):
    assert np.isnan(effect_size(observed, null))


def test_adjusted_p_in_closed_form():
    # p sorted times m/rank, made monotone from the largest down.
    np.testing.assert_allclose(
        benjamini_hochberg([0.005, 0.8, 0.01, 0.04]), [0.02, 0.8, 0.02, 0.16 / 3]
    )
    np.testing.assert_allclose(benjamini_hochberg([0.02, 0.02, 0.02]), [0.02] * 3)


@settings(max_examples=50)
@given(p=st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=20))
def test_adjusted_p_is_scipy_s_over_the_tests_that_were_made(p):
    values = np.array(p)
    adjusted = benjamini_hochberg(values)
    made = ~np.isnan(values)
    np.testing.assert_array_equal(np.isnan(adjusted), ~made)
    if made.any():
        np.testing.assert_allclose(adjusted[made], stats.false_discovery_control(values[made]))
        assert (adjusted[made] >= values[made] - 1e-12).all()


def test_adjusted_p_keeps_its_shape_and_its_argument():
    p = np.array([[0.01, np.nan], [0.04, 0.03]])
    before = p.copy()
    adjusted = benjamini_hochberg(p)
    assert adjusted.shape == (2, 2)
    np.testing.assert_array_equal(p, before)
    np.testing.assert_allclose(adjusted[[0, 1, 1], [0, 0, 1]], [0.03, 0.04, 0.04])
    assert benjamini_hochberg([]).shape == (0,)


def test_false_discoveries_stay_below_the_rate():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        z = rng.standard_normal(50)
        z[:20] += 3
        found = benjamini_hochberg(stats.norm.sf(z)) <= 0.1
        shares.append(found[20:].sum() / max(1, found.sum()))
    # Expected: 0.1 times the share of true nulls.
    assert np.mean(shares) == pytest.approx(0.06, abs=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: monte_carlo_p(1.0, []), "got no draws of the null; .*at least one"),
        (lambda: monte_carlo_p([1.0], np.empty((0, 1))), "got no draws"),
        (
            lambda: monte_carlo_p(1.0, [0.0], direction="up"),
            "got direction='up'; it is one of greater, less, two-sided",
        ),
        (lambda: monte_carlo_p(1.0, 0.0), r"shape \(\) and a null of shape \(\)"),
        (lambda: monte_carlo_p([1.0, 2.0], [0.0, 1.0]), r"shape \(2,\) and a null of shape \(2,\)"),
        (lambda: effect_size([1.0], [[0.0, 1.0]]), r"effect_size\(0\.3, \[0\.1"),
        (lambda: benjamini_hochberg([0.5, 1.2]), r"got the p-value 1\.2; .*between 0 and 1"),
        (lambda: benjamini_hochberg([-0.1]), r"got the p-value -0\.1"),
        (lambda: benjamini_hochberg([np.inf]), "got the p-value inf"),
    ],
)
def test_what_is_refused(call, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            call()


def test_sequential_p_is_unbiased_at_the_draw_that_ends_it_and_the_plain_one_otherwise():
    draws = np.array([0.0, 2.0, 0.0, 2.0, 2.0, 0.0])
    assert sequential_p(1.0, draws, n_exceeding=2) == 2 / 4
    assert sequential_p(1.0, draws, n_exceeding=9) == monte_carlo_p(1.0, draws)
    assert sequential_p(-1.0, -draws, direction="less", n_exceeding=3) == 3 / 5
    assert not has_exceeded(1.0, draws[:3], n_exceeding=2)
    assert has_exceeded(1.0, draws[:4], n_exceeding=2)
    # An undefined comparison is not drawn any further.
    assert has_exceeded(float("nan"), draws)
    assert np.isnan(sequential_p(1.0, [0.0, np.nan]))


@pytest.mark.parametrize("n_exceeding", [5, 20])
def test_sequential_p_rejects_a_true_null_as_often_as_it_says(n_exceeding):
    rng = np.random.default_rng(0)
    p = np.array(
        [
            sequential_p(row[0], row[1:], n_exceeding=n_exceeding)
            for row in rng.standard_normal((2000, 200))
        ]
    )
    for level in (0.05, 0.2, 0.5):
        allowed = stats.binom.ppf(0.999, p.size, level)
        assert (p <= level).sum() <= allowed


def test_student_p_is_that_of_scipy_and_has_a_floor():
    rng = np.random.default_rng(1)
    values = rng.standard_normal(9) + 0.5
    oracle = stats.ttest_1samp(values, 0.0, alternative="greater").pvalue
    error = values.std(ddof=1) / 3
    assert student_p(values.mean(), error, 8) == pytest.approx(oracle)
    assert student_p(-values.mean(), error, 8, direction="less") == pytest.approx(oracle)
    assert student_p(100.0, 1.0, 8, least=0.01) == 0.01
    assert student_p(1.0, 0.0, 8, least=0.01) == 0.01
    assert student_p(0.0, 0.0, 8, least=0.01) == 1.0
    assert np.isnan(student_p(np.nan, 1.0, 8))
    assert np.isnan(student_p(1.0, 1.0, 0))


def test_a_joint_p_solves_the_equation_of_cochran_and_cox():
    parts = [(1.5, 4), (0.7, 39)]
    error = np.hypot(1.5, 0.7)
    for p in (0.4, 0.05, 0.003, 1e-6):
        quantiles = [stats.t.isf(p, degrees) for _, degrees in parts]
        difference = np.average(quantiles, weights=[1.5**2, 0.7**2]) * error
        assert joint_student_p(difference, parts) == pytest.approx(p, rel=1e-6)
        assert joint_student_p(-difference, parts) == pytest.approx(1 - p, rel=1e-6)
        assert joint_student_p(-difference, parts, direction="less") == pytest.approx(p, rel=1e-6)
    assert joint_student_p(0.0, parts) == pytest.approx(0.5)
    assert joint_student_p(1e6, parts, least=0.001) == pytest.approx(0.001)


def test_a_joint_p_of_one_part_or_of_equal_degrees_is_student_s():
    assert joint_student_p(1.3, [(0.5, 6)]) == student_p(1.3, 0.5, 6)
    assert joint_student_p(1.3, [(0.5, 6), (0.0, 0)]) == student_p(1.3, 0.5, 6)
    equal = joint_student_p(1.3, [(0.3, 6), (0.4, 6)])
    assert equal == pytest.approx(student_p(1.3, 0.5, 6), rel=1e-9)
    assert joint_student_p(1.0, [(0.0, 4), (0.0, 0)], least=0.01) == 0.01
    assert joint_student_p(0.0, [(0.0, 4), (0.0, 0)], least=0.01) == 1.0
    assert np.isnan(joint_student_p(1.0, [(np.nan, 4), (1.0, 99)]))
    assert np.isnan(joint_student_p(1.0, [(1.0, 4), (1.0, 0)]))


@pytest.mark.parametrize("error_of_texts", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("level", [0.05, 0.004])
@pytest.mark.parametrize("n_texts", [4, 64])
def test_a_new_seed_among_five_is_rejected_at_most_at_its_level(error_of_texts, level, n_texts):
    rng, n_runs, n_seeds = np.random.default_rng(3), 100_000, 5
    seeds = rng.standard_normal((n_runs, n_seeds + 1))
    of_texts = error_of_texts * np.sqrt(rng.chisquare(n_texts - 1, n_runs) / (n_texts - 1))
    difference = seeds[:, 0] - seeds[:, 1:].mean(axis=1)
    difference += error_of_texts * rng.standard_normal(n_runs)
    of_seeds = seeds[:, 1:].std(axis=1, ddof=1) * np.sqrt(1 + 1 / n_seeds)
    # Rejected is what lies beyond the quantile of the level; a few by the function itself.
    quantiles = [stats.t.isf(level, degrees) for degrees in (n_seeds - 1, n_texts - 1)]
    squares = np.stack([of_seeds**2, of_texts**2])
    limit = (squares * np.array(quantiles)[:, None]).sum(axis=0) / np.sqrt(squares.sum(axis=0))
    rejected = difference >= limit
    assert rejected.sum() <= stats.binom.ppf(0.999, n_runs, level)
    for run in [*np.flatnonzero(rejected)[:20], *range(20)]:
        parts = [(of_seeds[run], n_seeds - 1), (of_texts[run], n_texts - 1)]
        assert (joint_student_p(difference[run], parts) <= level) == rejected[run]
