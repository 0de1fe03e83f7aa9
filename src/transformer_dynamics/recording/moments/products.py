"""Means and sums of products of the stream's units over samples, block by block.

Sums are about the mean of their own samples. Two sets merge about the common mean (Chan, Golub and
LeVeque 1979),

    M = M_a + M_b + (m_b - m_a)(m_b - m_a)^T n_a n_b / (n_a + n_b),

which loses nothing to cancellation, however large the mean is. Accumulated in float64.

Cost per sample for S sites of D units: 4 S D^2 operations with all pairs of units, 4 S D with each
unit alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

# Variance over mean square that rounding leaves in a constant unit.
VARIANCE_FLOOR = 1e-24


@dataclass(frozen=True)
class Products:
    """Sums over samples.

    Attributes:
        n_samples: Number of samples.
        mean: Mean state, `(site, unit)`.
        within: Sums of products of deviations, `(site, unit, other_unit)`, or `(site, unit)` for
            each unit with itself.
        between: The same between neighboring sites, `(step, unit, other_unit)`, whose rows are
            the units where the step starts, or `(step, unit)`.
    """

    n_samples: int
    mean: Floats
    within: Floats
    between: Floats

    @classmethod
    def of(cls, values: NDArray[Any], *, full: bool) -> Products:
        """Compute the sums of states `(sample, site, unit)`.

        Args:
            values: States `(sample, site, unit)`.
            full: Whether to sum all pairs of units, or each unit with itself.
        """
        n_samples, n_sites, n_units = values.shape
        shape = (n_units, n_units) if full else (n_units,)
        mean = np.empty((n_sites, n_units))
        within, between = np.empty((n_sites, *shape)), np.empty((n_sites - 1, *shape))
        before, mean[0] = _deviations(values[:, 0])
        within[0] = _sums(before, before, full)
        for site in range(1, n_sites):
            after, mean[site] = _deviations(values[:, site])
            within[site] = _sums(after, after, full)
            between[site - 1] = _sums(before, after, full)
            before = after
        return cls(n_samples, mean, within, between)

    @classmethod
    def over(cls, blocks: Iterable[tuple[slice, NDArray[Any]]], *, full: bool) -> Products:
        """Compute the sums of all blocks, as `recording.blocks()` yields them.

        Raises:
            InputError: there are no blocks.
        """
        total: Products | None = None
        for _, values in blocks:
            products = cls.of(values, full=full)
            total = products if total is None else total.merge(products)
        if total is None:
            raise InputError(
                "got no blocks of states; a recording has at least one sample: "
                "Products.over(recording.blocks(), full=True)"
            )
        return total

    @property
    def full(self) -> bool:
        """Whether the sums hold all pairs of units."""
        return self.within.ndim == 3

    def merge(self, other: Products) -> Products:
        """Merge with the sums of other samples, of equal shapes."""
        total = self.n_samples + other.n_samples
        shift = other.mean - self.mean
        weight = self.n_samples * other.n_samples / total
        within, between = self.within + other.within, self.between + other.between
        for sums, first, second in ((within, shift, shift), (between, shift[:-1], shift[1:])):
            for index, (row, column) in enumerate(zip(first, second, strict=True)):
                product = np.outer(row, column) if self.full else row * column
                sums[index] += weight * product
        mean = self.mean + shift * (other.n_samples / total)
        return Products(total, mean, within, between)

    def unit_variance(self) -> Floats:
        """Variance of each unit over samples, `(site, unit)`; denominator: number of samples."""
        return _diagonals(self.within) / self.n_samples

    def unit_correlation(self) -> Floats:
        """Correlation of each unit between neighboring sites, `(step, unit)`; NaN if constant."""
        variance = self.unit_variance()
        with np.errstate(invalid="ignore", over="ignore"):
            square = variance + self.mean**2
            variance[~(variance > VARIANCE_FLOOR * square)] = np.nan
            covariance = _diagonals(self.between) / self.n_samples
            correlation = covariance / np.sqrt(variance[:-1] * variance[1:])
        return np.asarray(np.clip(correlation, -1.0, 1.0))


def _deviations(states: NDArray[Any]) -> tuple[Floats, Floats]:
    """Deviations of the states of one site `(sample, unit)` from their mean, and the mean."""
    deviations = states.astype(np.float64)
    # The first sample is subtracted first, so that a constant unit deviates by exactly zero.
    first = deviations[0].copy()
    with np.errstate(invalid="ignore"):
        deviations -= first
        offset = deviations.mean(axis=0)
        deviations -= offset
    return deviations, first + offset


def _sums(first: Floats, second: Floats, full: bool) -> Floats:
    return first.T @ second if full else np.einsum("nu,nu->u", first, second)


def _diagonals(sums: Floats) -> Floats:
    return np.einsum("suu->su", sums).copy() if sums.ndim == 3 else sums
