"""Intervals of differences against closed forms, paired and independent."""

import numpy as np
import pytest

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.comparison.claims.estimates import Resampling, difference_of
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.recording import Recording

N_TEXTS, N_DRAWS = 150, 4000
RNG = np.random.default_rng(0)
CLAIM = Claim(
    id="mean",
    statement="The mean is positive.",
    statistic="mean (1)",
    source="this test",
    profile=lambda recording, weights: weights @ recording.values[:, :, 0].astype(np.float64),
    threshold=0.0,
    nulls={},
)


def resampled(resampling, name, values, stream=0):
    recording = Recording.from_array(values[:, np.newaxis, np.newaxis])
    run = ComparedRun(name, None, recording)
    subject = Subject(recording, {}, recording.groups, "texts")
    return resampling.of(run, CLAIM, subject.data, subject.groups, stream)


def test_paired_draws_have_the_deviation_of_the_paired_differences():
    common = RNG.normal(0.0, 3.0, N_TEXTS)
    a, b = common + RNG.normal(0, 0.5, N_TEXTS), common + 1 + RNG.normal(0, 0.5, N_TEXTS)
    resampling = Resampling(N_DRAWS, 0)
    first, other = resampled(resampling, "a", a), resampled(resampling, "b", b)
    estimate = difference_of(first, other, paired=True)
    assert estimate.value == pytest.approx((b - a).mean())
    expected = (b - a).std() / np.sqrt(N_TEXTS)
    assert estimate.bootstrap.std() == pytest.approx(expected, rel=0.05)
    low, high = estimate.interval
    assert high - low == pytest.approx(2 * 1.96 * expected, rel=0.08)


def test_independent_draws_have_the_deviation_of_both():
    a, b = RNG.normal(0.0, 3.0, N_TEXTS), RNG.normal(1.0, 1.0, 2 * N_TEXTS)
    resampling = Resampling(N_DRAWS, 0)
    first, other = resampled(resampling, "a", a, 0), resampled(resampling, "b", b, 1)
    estimate = difference_of(first, other, paired=False)
    expected = np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert estimate.bootstrap.std() == pytest.approx(expected, rel=0.05)
    assert abs(np.corrcoef(first.estimate.bootstrap, other.estimate.bootstrap)[0, 1]) < 0.06


def test_few_texts_are_corrected_for_the_skew_of_both():
    a, b = RNG.exponential(1.0, 30), RNG.exponential(1.0, 30)
    resampling = Resampling(N_DRAWS, 0)
    first, other = resampled(resampling, "a", a, 0), resampled(resampling, "b", b, 1)
    estimate = difference_of(first, other, paired=False)
    deviations = np.concatenate([(b.mean() - b), -(a.mean() - a)]) / 29
    assert estimate.left_out - estimate.value == pytest.approx(deviations)
    swapped = difference_of(other, first, paired=False)
    assert swapped.interval == pytest.approx(
        [-estimate.interval[1], -estimate.interval[0]], abs=0.03
    )
