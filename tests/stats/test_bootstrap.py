"""Bootstrap over texts: weights, intervals, and how often the intervals cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transformer_dynamics.stats import bootstrap
from transformer_dynamics.stats.bootstrap import (
    corrected_interval,
    left_out_weights,
    percentile_interval,
    text_weights,
    uniform_weights,
)


@settings(max_examples=50)
@given(
    texts=st.lists(st.integers(-5, 5), min_size=1, max_size=30),
    n_draws=st.integers(1, 20),
    seed=st.integers(0, 100),
)
def test_rows_sum_to_one_and_samples_of_a_text_share_their_weight(texts, n_draws, seed):
    texts = np.array(texts)
    weights = text_weights(texts, n_draws, seed=seed)
    assert weights.shape == (n_draws, len(texts))
    assert weights.dtype == np.float64
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    for text in np.unique(texts):
        own = weights[:, texts == text]
        np.testing.assert_array_equal(own, np.broadcast_to(own[:, :1], own.shape))


def test_weights_are_counts_of_as_many_texts_as_there_are():
    weights = text_weights(np.arange(40), 500)
    counts = weights * 40
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    np.testing.assert_allclose(counts.sum(axis=1), 40)
    # The count of a text is binomial(40, 1/40): mean 1, variance 39/40, zero with (39/40)^40.
    assert counts.mean(axis=0) == pytest.approx(np.ones(40), abs=5 / np.sqrt(500))
    assert counts.var() == pytest.approx(39 / 40, rel=0.05)
    assert (counts < 0.5).mean() == pytest.approx((39 / 40) ** 40, abs=0.015)


def test_texts_of_unequal_size_weigh_by_the_samples_drawn():
    texts = np.array([5, 5, 5, 9])
    seen = {tuple(row) for row in text_weights(texts, 200).round(12)}
    third, quarter, nothing = round(1 / 3, 12), 0.25, 0.0
    assert seen == {
        (third, third, third, nothing),
        (quarter, quarter, quarter, quarter),
        (nothing, nothing, nothing, 1.0),
    }


def test_the_order_and_names_of_texts_do_not_matter():
    texts = np.array([0, 0, 1, 2, 2, 2])
    expected = text_weights(texts, 10, seed=4)
    np.testing.assert_array_equal(text_weights(texts * 7 + 3, 10, seed=4), expected)
    np.testing.assert_array_equal(text_weights(texts[::-1], 10, seed=4), expected[:, ::-1])


def test_the_seed_decides():
    first, again, other = (text_weights(range(20), 5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_uniform_weights_give_the_plain_mean():
    values = np.random.default_rng(0).standard_normal(7)
    assert uniform_weights(7).shape == (1, 7)
    assert (uniform_weights(7) @ values)[0] == pytest.approx(values.mean())


def test_interval_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(0).gamma(2.0, size=80)
    ours = percentile_interval(text_weights(np.arange(80), 20_000, seed=1) @ values, level=0.9)
    scipy = stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, n_resamples=20_000, method="percentile", rng=2
    ).confidence_interval
    # Ends from 20,000 draws scatter by about sqrt(.05 .95/20000)/density, 0.003 here.
    np.testing.assert_allclose(ours, scipy, atol=0.02)
    assert ours[1] - ours[0] == pytest.approx(2 * 1.645 * values.std() / np.sqrt(80), rel=0.05)


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((60, 600)) + 3
    low, high = percentile_interval(text_weights(np.arange(60), 800, seed=1) @ data, level=0.9)
    coverage = ((low <= 3) & (high >= 3)).mean()
    assert coverage == pytest.approx(0.9, abs=0.04)  # 3 standard errors of 600 trials


def test_samples_of_one_text_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    text_means = rng.standard_normal((40, 300))
    texts = np.repeat(np.arange(40), 5)
    data = text_means[texts]
    low, high = percentile_interval(text_weights(texts, 500) @ data, level=0.9)
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.9, abs=0.06)
    low, high = percentile_interval(text_weights(np.arange(200), 500) @ data, level=0.9)
    assert ((low <= 0) & (high >= 0)).mean() < 0.7


def test_interval_is_numpy_s_quantiles_along_the_first_axis():
    draws = np.random.default_rng(0).standard_normal((101, 3, 2))
    low, high = percentile_interval(draws, level=0.8)
    np.testing.assert_allclose(low, np.sort(draws, axis=0)[10])
    np.testing.assert_allclose(high, np.sort(draws, axis=0)[90])
    default = percentile_interval(draws)
    np.testing.assert_allclose(default, np.quantile(draws, [0.025, 0.975], axis=0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_undefined_draw_leaves_that_interval_undefined_and_no_other(bad):
    draws = np.random.default_rng(0).standard_normal((50, 3))
    draws[7:9, 1] = bad
    for end in percentile_interval(draws):
        np.testing.assert_array_equal(np.isnan(end), [False, True, False])


def test_arguments_stay_as_they_are():
    texts, draws = np.array([3, 1, 1]), np.array([3.0, 1.0, 2.0])
    text_weights(texts, 5)
    percentile_interval(draws)
    assert texts.tolist() == [3, 1, 1]
    assert draws.tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: text_weights([], 10),
            r"shape \(0,\).*text_weights\(recording\.groups, 1000\)",
        ),
        (lambda: text_weights([[0, 1]], 10), r"shape \(1, 2\)"),
        (lambda: text_weights([0, 1], 0), "n_draws=0"),
        (lambda: uniform_weights(0), r"got n_samples=0; .*uniform_weights\(4\)"),
        (lambda: percentile_interval([]), r"shape \(0,\)"),
        (lambda: percentile_interval(1.0), r"shape \(\)"),
        (lambda: percentile_interval(np.empty((0, 3))), r"shape \(0, 3\)"),
        (lambda: percentile_interval([1.0], level=0.0), r"level=0\.0"),
        (lambda: percentile_interval([1.0], level=95), "level=95;.*level=0.95"),
        (lambda: percentile_interval([1.0], level=float("nan")), "level=nan"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def corrected(values, statistic, seed):
    """The corrected interval of a weighted statistic of numbers, one text each."""
    texts = np.arange(values.size)
    draws = statistic(text_weights(texts, 999, seed=seed), values)
    left_out = statistic(left_out_weights(texts), values)
    return corrected_interval(
        float(statistic(uniform_weights(values.size), values)[0]), draws, left_out
    )


def variance(weights, values):
    return weights @ values**2 - (weights @ values) ** 2


def test_corrected_interval_agrees_with_scipy():
    values = np.random.default_rng(3).exponential(size=30)
    found = corrected(values, variance, seed=0)
    oracle = stats.bootstrap(
        (values,), np.var, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found == pytest.approx((oracle.low, oracle.high), rel=0.15)


def test_corrected_interval_of_a_skewed_statistic_covers_better_than_the_percentile_one():
    """The variance of 20 exponential numbers, which resampling makes too small."""
    rng = np.random.default_rng(5)
    covered = np.zeros(2)
    for seed in range(200):
        values = rng.exponential(size=20)
        draws = variance(text_weights(np.arange(20), 499, seed=seed), values)
        plain = percentile_interval(draws)
        for place, (low, high) in enumerate((plain, corrected(values, variance, seed))):
            covered[place] += low <= 1.0 <= high
    assert covered[1] > covered[0] + 5


def test_corrected_interval_without_a_correction_is_the_percentile_one():
    draws = np.linspace(0, 1, 100)
    plain = tuple(float(end) for end in percentile_interval(draws))
    # A value without one text is undefined.
    assert corrected_interval(0.5, draws, [0.1, np.nan]) == plain
    assert corrected_interval(0.5, draws) == plain
    symmetric = corrected_interval(0.5, draws, [-1.0, 0.0, 1.0])
    assert symmetric == pytest.approx(plain, abs=0.02)
    assert np.isnan(corrected_interval(0.5, [0.1, np.nan], [0.1, 0.2])).all()


def test_left_out_weights_leave_out_whole_texts():
    weights = left_out_weights([4, 4, 9, 2])
    assert weights.shape == (3, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[1, :2] == 0).all()  # text 4


@pytest.mark.parametrize("left_out", [None, [0.1, 0.2]])
def test_an_interval_beside_the_value_is_moved_to_it(left_out):
    draws = np.linspace(0, 1, 101)
    low, high = corrected_interval(3.0, draws, left_out)
    assert (low, high) == pytest.approx((3.0 - 0.475, 3.0 + 0.475))


@pytest.mark.parametrize("at_once", [1, 100, 10**6])
def test_weights_in_blocks_are_one_draw_of_all(at_once, monkeypatch):
    texts = np.random.default_rng(0).integers(0, 40, 70) * 3
    _, text_of_sample = np.unique(texts, return_inverse=True)
    n_texts = text_of_sample.max() + 1
    drawn = np.random.default_rng(5).integers(n_texts, size=(33, n_texts))
    counts = np.stack([np.bincount(row, minlength=n_texts) for row in drawn])
    of_samples = counts[:, text_of_sample]
    expected = of_samples / of_samples.sum(axis=1, keepdims=True)
    monkeypatch.setattr(bootstrap, "DRAWN_VALUES", at_once)
    blocks = list(bootstrap.weight_blocks(texts, 33, seed=5))
    assert [draws.start for draws, _ in blocks] == [0, *(draws.stop for draws, _ in blocks[:-1])]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), expected)
    np.testing.assert_array_equal(text_weights(texts, 33, seed=5), expected)
    np.testing.assert_array_equal(bootstrap.text_counts(n_texts, 33, seed=5), counts)
