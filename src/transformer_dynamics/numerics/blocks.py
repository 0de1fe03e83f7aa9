"""Statistics of a recording on disk that is read in blocks of samples, each pass in order.

Memory does not grow with the number of samples: sums over samples are kept for as many units at a
time as fit into `SUMMED_BYTES`, with one pass over the recording for each such set of units.
A recording in memory is one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import (
    PrincipalAxes,
    leading_axes,
    principal_axes,
    require_components,
    require_finite,
    summed_products,
)

# A large model with hundreds of bootstrap draws is then read some ten times.
SUMMED_BYTES = 512 * 2**20


class Blockwise(Protocol):
    """States `(sample, site, unit)` that come in blocks of samples."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of samples, sites and units."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether the states are in memory, as one block."""
        ...

    @property
    def values(self) -> NDArray[Any]:
        """States in memory."""
        ...

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Iterate over slices of samples and their states `(sample, site, unit)`."""
        ...


def per_sample(recording: Blockwise, statistic: Callable[[NDArray[Any]], Floats]) -> Floats:
    """Compute a statistic of each sample, `(sample, ...)`.

    Args:
        recording: the states.
        statistic: `(sample, site, unit) -> (sample, ...)`, of each sample by itself.
    """
    parts = [statistic(states) for _, states in recording.blocks()]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def unit_sets(n_units: int, bytes_per_unit: int) -> Iterator[slice]:
    """Iterate over sets of units whose sums fit into memory together.

    >>> [each.stop - each.start for each in unit_sets(5, SUMMED_BYTES // 2)]
    [2, 2, 1]
    """
    size = max(1, SUMMED_BYTES // max(1, bytes_per_unit))
    for start in range(0, n_units, size):
        yield slice(start, min(start + size, n_units))


def block_means(recording: Blockwise, weights: Floats, units: slice = slice(None)) -> Floats:
    """Weighted sums over samples, `(draw, site, unit)` in float64; means for rows that sum to 1.

    Args:
        recording: the states.
        weights: `(draw, sample)`.
        units: the units.
    """
    n_sites, n_units = recording.shape[1], len(range(*units.indices(recording.shape[2])))
    sums = np.zeros((len(weights), n_sites * n_units))
    for rows, states in recording.blocks():
        block = states[:, :, units].astype(np.float64)
        sums += weights[:, rows] @ block.reshape(len(block), -1)
    return sums.reshape(len(weights), n_sites, n_units)


def axes_of(recording: Blockwise, n_components: int) -> PrincipalAxes:
    """Compute the `principal_axes` of all samples and sites, in two passes over a recording.

    Raises:
        InputError: states are not finite, or there are fewer components than `n_components`.
    """
    if recording.in_memory:
        return principal_axes(recording.values, n_components)
    n_samples, n_sites, n_units = recording.shape
    require_components(n_components, n_samples * n_sites, n_units)
    first, total = np.empty(0), np.zeros(n_units)
    for _, states in recording.blocks():
        first = first if first.size else states[0, 0].astype(np.float64)
        with np.errstate(invalid="ignore"):
            total += (states - first).sum(axis=(0, 1))
    mean: Floats = first + total / (n_samples * n_sites)
    require_finite(mean)
    products = np.zeros((n_units, n_units))
    for _, states in recording.blocks():
        products += summed_products(states, mean)
    return leading_axes(products / (n_samples * n_sites), mean, n_components)
