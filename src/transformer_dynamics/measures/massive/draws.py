"""Means over samples in bootstrap draws of texts, added up over pieces of the samples.

A draw is a number of copies of each text, one byte each. The values of a piece of samples are added
by text and multiplied by the copies, so that neither the values of all samples nor their weights in
all draws are held. Source: ours. Cost: 2 B N P operations for B draws, N samples and P values of a
sample.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.stats.bootstrap import text_counts


class Draws:
    """Bootstrap draws of texts; the first draw is the original sample.

    Args:
        text_index: text of each sample, or its group, `(sample,)`.
        n_draws: number of further draws.
        seed: seed of the random numbers.
    """

    def __init__(self, text_index: NDArray[np.int64], n_draws: int, seed: int) -> None:
        texts, self._text_of_sample = np.unique(text_index, return_inverse=True)
        drawn = text_counts(texts.size, n_draws, seed=seed)
        self._copies = np.concatenate([np.ones((1, texts.size), dtype=np.uint8), drawn])

    def means(self, pieces: Iterable[tuple[slice, Floats]]) -> Floats:
        """Average defined values over samples.

        Args:
            pieces: samples, and their values `(sample, point)`, together of all samples.

        Returns:
            `(draw, point)`; NaN where no drawn sample has a value.

        >>> values = np.array([[1.0, np.nan], [3.0, 5.0]])
        >>> Draws(np.arange(2), 2, seed=0).means([(slice(0, 2), values)])
        array([[2., 5.],
               [3., 5.],
               [2., 5.]])
        """
        total, number = np.zeros(1), np.zeros(1)
        for rows, values in pieces:
            texts, place = np.unique(self._text_of_sample[rows], return_inverse=True)
            by_text = sparse.csr_array((np.ones(place.size), (place, np.arange(place.size))))
            copies = self._copies[:, texts].astype(np.float64)
            defined = ~np.isnan(values)
            if defined.all():
                total = total + copies @ (by_text @ values)
                number = number + (copies @ by_text.sum(axis=1))[:, np.newaxis]
            else:
                total = total + copies @ (by_text @ np.where(defined, values, 0.0))
                number = number + copies @ (by_text @ defined.astype(np.float64))
        return ratio(total, np.broadcast_to(number, total.shape))
