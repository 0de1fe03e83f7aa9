"""Bootstrap over texts, or groups of texts: weights of the samples, and intervals.

Texts are drawn with replacement. A draw is a weight per sample, not a list of texts, so that
`weights @ values` computes a mean over samples for all draws; `scipy.stats.bootstrap` resamples
single values and calls the statistic once per draw.

    w[b, n] = (times text of n was drawn in b) / (samples drawn in b, counted as often)

Units are never resampled: they are not independent. Not handled: dependence between groups; few
texts, for which intervals are too narrow (n texts: by sqrt((n - 1)/n), and the tails of t).
Source: Efron and Tibshirani (1993), chapters 8, 13, 14; weights instead of resamples: ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from transformer_dynamics.errors import InputError

# Random numbers, or weights, that are held at a time: 0.5 MiB.
DRAWN_VALUES = 2**16


def text_weights(text_index: ArrayLike, n_draws: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Draw bootstrap weights of the samples, `(draw, sample)`, over texts.

    Args:
        text_index: text of each sample, or its group, `(sample,)`; any labels.
        n_draws: number of bootstrap draws.
        seed: seed of the random numbers.

    Returns:
        Dimensionless weights whose rows sum to 1; the denominator is the number of samples in the
        drawn texts, each counted as often as its text was drawn.

    Raises:
        InputError: `text_index` is not one-dimensional or is empty, or `n_draws` is below 1.

    >>> text_weights([0, 0, 7], 3).round(2)
    array([[0.  , 0.  , 1.  ],
           [0.33, 0.33, 0.33],
           [0.5 , 0.5 , 0.  ]])
    """
    texts = np.asarray(text_index)
    if texts.ndim != 1 or texts.size == 0 or n_draws < 1:
        raise InputError(
            f"got text indices of shape {texts.shape} and n_draws={n_draws}; the bootstrap takes "
            "the text of each sample, at least one, and at least one draw: "
            "text_weights(recording.groups, 1000)"
        )
    weights = np.empty((n_draws, texts.size))
    for draws, block in weight_blocks(texts, n_draws, seed=seed):
        weights[draws] = block
    return weights


def weight_blocks(
    text_index: ArrayLike, n_draws: int, *, seed: int = 0
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Iterate over slices of draws and their rows of `text_weights`, 0.5 MiB at a time.

    All rows together take 8 bytes per draw and sample: more than the states of a sample in a small
    recording.

    Args:
        text_index: as in `text_weights`.
        n_draws: number of bootstrap draws.
        seed: seed of the random numbers.

    >>> blocks = list(weight_blocks([0, 0, 7], 3))
    >>> len(blocks), np.array_equal(blocks[0][1], text_weights([0, 0, 7], 3))
    (1, True)
    """
    _, text_of_sample = np.unique(np.asarray(text_index), return_inverse=True)
    n_texts = int(text_of_sample.max()) + 1
    size = max(1, DRAWN_VALUES // text_of_sample.size)
    for draws, counts in _drawn(n_texts, n_draws, size, seed):
        weights = counts[:, text_of_sample].astype(np.float64)
        weights /= weights.sum(axis=1, keepdims=True)
        yield draws, weights


def text_counts(n_texts: int, n_draws: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Draw the texts of `text_weights`: times that each text is drawn, `(draw, text)`.

    Args:
        n_texts: number of texts.
        n_draws: number of bootstrap draws.
        seed: seed of the random numbers.

    Returns:
        Whole numbers of one byte. A text is drawn once per draw on average, and more than 255 times
        with a probability below 1e-500.

    >>> text_counts(2, 3)
    array([[0, 2],
           [1, 1],
           [2, 0]], dtype=uint8)
    """
    counts = np.empty((n_draws, n_texts), dtype=np.uint8)
    for draws, block in _drawn(n_texts, n_draws, max(1, DRAWN_VALUES // n_texts), seed):
        counts[draws] = block
    return counts


def _drawn(
    n_texts: int, n_draws: int, size: int, seed: int
) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Draw texts for `size` draws at a time; the numbers do not depend on `size`."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_draws, size):
        stop = min(start + size, n_draws)
        drawn = rng.integers(n_texts, size=(stop - start, n_texts))
        drawn += n_texts * np.arange(stop - start)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size)
        yield slice(start, stop), counts.reshape(drawn.shape)


def uniform_weights(n_samples: int) -> NDArray[np.float64]:
    """Return equal weights of all samples, `(1, sample)`, the center of the `text_weights`.

    Args:
        n_samples: number of samples.

    Returns:
        Weights 1 / `n_samples`.

    Raises:
        InputError: `n_samples` is below 1.

    >>> uniform_weights(4)
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    if n_samples < 1:
        raise InputError(f"got n_samples={n_samples}; give at least one: uniform_weights(4)")
    return np.full((1, n_samples), 1 / n_samples)


def left_out_weights(text_index: ArrayLike) -> NDArray[np.float64]:
    """Compute jackknife weights, `(text, sample)`: all samples but those of one text.

    Args:
        text_index: text of each sample, `(sample,)`; any labels.

    Returns:
        Weights whose rows sum to 1; NaN where there is only one text.

    >>> left_out_weights([0, 0, 7]).round(2)
    array([[0. , 0. , 1. ],
           [0.5, 0.5, 0. ]])
    """
    texts, text_of_sample = np.unique(np.asarray(text_index), return_inverse=True)
    kept = (text_of_sample != np.arange(texts.size)[:, np.newaxis]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        weights: NDArray[np.float64] = kept / kept.sum(axis=1, keepdims=True)
    return weights


def corrected_interval(
    value: float, draws: ArrayLike, left_out: ArrayLike | None = None, *, level: float = 0.95
) -> tuple[float, float]:
    """Compute the bootstrap interval of one statistic, corrected for bias.

    With `left_out` the interval is corrected for bias and acceleration (BCa). Without it, or where
    the correction is undefined (a jackknife value is not finite, or all draws lie on one side of
    the statistic), it is the percentile interval. If the percentile interval does not contain the
    statistic, as for cross-validated statistics, which decrease with fewer distinct texts, the
    draws are shifted so that their mean equals the statistic.

    Args:
        value: statistic of all texts.
        draws: statistic in each bootstrap draw, `(draw)`.
        left_out: jackknife values of the statistic, one without each text, `(text)`.
        level: share of the draws between the ends, between 0 and 1.

    Returns:
        Ends (low, high), in the statistic's unit; NaN where the value or a draw is not finite.

    Raises:
        InputError: there is no draw, or `level` is not between 0 and 1.

    Source: Efron (JASA 82, 171, 1987).
    """
    values = np.asarray(draws, dtype=np.float64)
    low, high = (float(end) for end in percentile_interval(values, level=level))
    if value < low or value > high:
        shift = value - float(values.mean())
        low, high = low + shift, high + shift
    if left_out is None:
        return low, high
    without = np.asarray(left_out, dtype=np.float64)
    below = ((values < value).sum() + 0.5 * (values == value).sum()) / len(values)
    if not np.isfinite(without).all() or not 0 < below < 1 or not np.isfinite([low, high]).all():
        return low, high
    bias, deviations = special.ndtri(below), without.mean() - without
    spread = (deviations**2).sum()
    acceleration = (deviations**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    tails = bias + special.ndtri([(1 - level) / 2, (1 + level) / 2])
    shares = special.ndtr(bias + tails / (1 - acceleration * tails))
    low, high = np.quantile(values, shares)
    return float(low), float(high)


def percentile_interval(
    draws: ArrayLike, *, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the percentile interval of a statistic from its bootstrap draws.

    Args:
        draws: statistic in each draw, `(draw, ...)`.
        level: share of the draws between the ends, between 0 and 1.

    Returns:
        Ends (low, high), each `(...)`, in the statistic's unit; NaN where any draw is not finite,
        because the statistic is then not defined on every resample.

    Raises:
        InputError: there is no draw, or `level` is not between 0 and 1.

    >>> low, high = percentile_interval([4.0, 1.0, 3.0, 0.0, 2.0], level=0.5)
    >>> float(low), float(high)
    (1.0, 3.0)
    """
    values = np.asarray(draws, dtype=np.float64)
    if values.ndim == 0 or len(values) == 0 or not 0 < level < 1:
        raise InputError(
            f"got draws of shape {values.shape} and level={level}; an interval takes at least one "
            "draw along the first axis and a level between 0 and 1: "
            "percentile_interval(draws, level=0.95)"
        )
    undefined = ~np.isfinite(values).all(axis=0)
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low, high = np.where(undefined, np.nan, np.quantile(values, [tail, 1 - tail], axis=0))
    return low, high
