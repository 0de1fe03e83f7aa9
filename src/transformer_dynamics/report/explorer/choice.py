"""Choice of what the page can show: samples, and the units with single traces.

A page that held every state would be larger than the recording. Quantiles over all samples are
there for every unit; paths of single samples are there for at most 200 of them, and traces of
single samples for some units.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.standardize import standardization

N_SHOWN = 200
# Units with traces: massive ones, those of the largest variance, and a random draw.
N_MASSIVE, N_LARGEST, N_RANDOM = 8, 16, 16


@dataclass(frozen=True)
class UnitChoice:
    """Units whose single traces are on the page.

    Attributes:
        units: their indices, ascending.
        massive: the massive units of the recording, also those without traces.
    """

    units: NDArray[np.int64]
    massive: NDArray[np.int64]


def chosen_samples(
    n_samples: int, preferred: Iterable[NDArray[np.int64]], *, seed: int
) -> NDArray[np.int64]:
    """Samples to show, ascending: all of at most 200, else preferred ones and a random draw.

    Args:
        n_samples: number of samples of the recording.
        preferred: samples that other results hold as well, the most important first.
        seed: seed of the draw.

    >>> chosen_samples(3, [], seed=0), chosen_samples(900, [np.array([7, 8])], seed=0).size
    (array([0, 1, 2]), 200)
    """
    if n_samples <= N_SHOWN:
        return np.arange(n_samples)
    generator = np.random.default_rng(seed)
    order = [generator.permutation(samples) for samples in preferred]
    order.append(generator.permutation(n_samples))
    first = list(dict.fromkeys(np.concatenate(order).tolist()))[:N_SHOWN]
    return np.sort(np.array(first, dtype=np.int64))


def chosen_units(variance: Floats, *, seed: int) -> UnitChoice:
    """Units with traces, by their variance over samples and sites, `(unit)`.

    >>> variance = np.array([1.0, 1.0, 1.0, 500.0])
    >>> chosen_units(variance, seed=0)
    UnitChoice(units=array([0, 1, 2, 3]), massive=array([3]))
    """
    variance = np.nan_to_num(variance, nan=0.0, posinf=np.finfo(np.float64).max)
    order = np.argsort(-variance, kind="stable")
    massive, _ = standardization(variance)
    drawn = np.random.default_rng(seed).permutation(variance.size)[:N_RANDOM]
    largest_massive = order[np.isin(order, massive)][:N_MASSIVE]
    units = np.unique(np.concatenate([largest_massive, order[:N_LARGEST], drawn]))
    return UnitChoice(units, massive)
