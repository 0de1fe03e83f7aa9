"""Steps of the mean paths of the two halves of the texts, and the cosines between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.claims.turning import halves, within_half
from transformer_dynamics.numerics.arrays import Floats, lengths, ratio
from transformer_dynamics.numerics.blocks import block_means, unit_sets
from transformer_dynamics.numerics.weighting import SampleWeights
from transformer_dynamics.recording.recording import Recording


def half_path_cosines(recording: Recording, weights: Floats, lag: int) -> Floats:
    """Cosine of steps `lag` apart, one of each half, mean over both orders, `(draw, step)`.

    NaN for a draw that holds no text of one half.
    """
    if not recording.in_memory:
        return _in_blocks(recording, weights, lag)
    steps = zip(*(_half_steps(recording, weights, half) for half in halves(recording)), strict=True)
    recent: deque[tuple[Floats, ...]] = deque(maxlen=lag)
    cosines = []
    for first, second in steps:
        if len(recent) == lag:
            first_before, second_before = recent[0]
            cosines.append((_cosine(first_before, second) + _cosine(second_before, first)) / 2)
        recent.append((first, second))
    return np.stack(cosines, axis=1)


def _cosine(before: Floats, after: Floats) -> Floats:
    return ratio(np.einsum("bu,bu->b", before, after), lengths(before) * lengths(after))


def _half_steps(recording: Recording, weights: Floats, half: NDArray[np.int64]) -> Iterator[Floats]:
    """Iterate over the steps of the mean path over one half of the texts, `(draw, unit)`."""
    values, average = recording.values, SampleWeights(within_half(weights, half))
    before = average.means(values[half, 0].astype(np.float64))
    for site in range(1, values.shape[1]):
        after = average.means(values[half, site].astype(np.float64))
        yield after - before
        before = after


def _in_blocks(recording: Recording, weights: Floats, lag: int) -> Floats:
    """The same for a recording on disk; products are summed over units, some at a time."""
    n_draws, n_sites = len(weights), recording.shape[1]
    halved = np.zeros((2, *weights.shape))
    for half, own in zip(halves(recording), halved, strict=True):
        own[:, half] = within_half(weights, half)
    products = np.zeros((2, n_draws, n_sites - 1 - lag))
    squares = np.zeros((2, n_draws, n_sites - 1))
    for units in unit_sets(recording.shape[2], 2 * 8 * 2 * n_draws * n_sites):
        means = block_means(recording, halved.reshape(-1, weights.shape[1]), units)
        steps = np.diff(means.reshape(2, n_draws, n_sites, -1), axis=2)
        products += np.einsum("hbsu,hbsu->hbs", steps[:, :, :-lag], steps[::-1, :, lag:])
        squares += np.einsum("hbsu,hbsu->hbs", steps, steps)
    norms = np.sqrt(squares)
    cosines: Floats = ratio(products, norms[:, :, :-lag] * norms[::-1, :, lag:]).mean(axis=0)
    return cosines
