"""Weighted means over samples under many rows of weights, such as the draws of a bootstrap.

A bootstrap over groups of texts gives the samples of a group one weight in each draw. Their values
are then added first, which divides the matrix product by the size of the groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats


class SampleWeights:
    """Rows of weights over samples, `(draw, sample)`."""

    def __init__(self, weights: Floats) -> None:
        self.weights = weights
        self._order: NDArray[np.int64] | None = None
        if len(weights) > 1:
            self._join_equal(np.ascontiguousarray(weights.T))

    def _join_equal(self, columns: Floats) -> None:
        """Find the samples that have the same weight in every draw, from `(sample, draw)`."""
        whole = columns.view(np.dtype((np.void, columns.strides[0]))).ravel()
        _, first, number = np.unique(whole, return_index=True, return_inverse=True)
        if first.size > len(columns) / 2:
            return
        self._order = np.argsort(number, kind="stable")
        self._starts = np.searchsorted(number[self._order], np.arange(first.size))
        self.weights = np.ascontiguousarray(columns[first].T)

    def means(self, values: Floats) -> Floats:
        """Weighted means of `(sample, unit)`, `(draw, unit)`.

        >>> weights = SampleWeights(np.array([[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]]))
        >>> weights.means(np.array([[0.0], [2.0], [4.0]]))
        array([[2.5],
               [1. ]])
        """
        if self._order is not None:
            values = np.add.reduceat(values[self._order], self._starts, axis=0)
        means: Floats = self.weights @ values
        return means
