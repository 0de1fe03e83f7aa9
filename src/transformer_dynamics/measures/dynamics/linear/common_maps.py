"""Linear maps for all depths, in components that are common to all sites (dynamic modes).

    A = Y'Z (Z'Z)^+ of pairs (state z, next state y), least squares with an offset

Source: exact DMD (Tu et al., arXiv 1312.0041); equal weights and deviations: ours. Cost, for N
samples, S sites and D units: N S D^2 for the components and one least-squares fit per map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from transformer_dynamics.measures.dynamics.linear.regression import AffineMap
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states

# A map per step, and the maps for all depths in the order of `one_maps`.
MODELS = ("per_step", "one_map", "one_map_equal_weights", "one_map_of_deviations")


def common_basis(values: NDArray[Any], n_components: int) -> tuple[Floats, Floats]:
    """Pooled mean `(unit)` and leading components `(unit, component)`, all sites weighted equally.

    Each site's second moment about the pooled mean is divided by its trace before the sum;
    otherwise the late sites, which vary most, would dominate.
    """
    center = values.mean(axis=(0, 1), dtype=np.float64)
    total = np.zeros((center.size, center.size))
    for site in range(values.shape[1]):
        deviations = values[:, site].astype(np.float64) - center
        power = float(np.vdot(deviations, deviations))
        if power > 0:
            total += deviations.T @ (deviations / power)
    leading = [center.size - n_components, center.size - 1]
    return center, scipy.linalg.eigh(total, subset_by_index=leading)[1][:, ::-1]


def in_basis(values: NDArray[Any], center: Floats, basis: Floats) -> Floats:
    """Components of states, `(sample, site, component)`, one site in float64 at a time."""
    return np.stack([(states - center) @ basis for states in site_states(values)], axis=1)


def one_maps(before: Floats, after: Floats) -> list[AffineMap]:
    """Fit maps for all depths: exact DMD, DMD with equal weights of the steps, and of deviations.

    The last map takes the deviation from the mean path to the next one, with equal weights of the
    steps. Its mean path is the mean path of the training texts, as with a map per step.

    Args:
        before: components `(sample, step, component)`.
        after: components one site later.
    """
    updates = after - before
    power = ((updates - updates.mean(axis=0)) ** 2).sum(axis=(0, 2))
    equal = np.nan_to_num(np.broadcast_to(ratio(np.ones(1), power), updates.shape[:2])).ravel()
    weights = equal if equal.any() else None
    n_components = before.shape[-1]
    pairs = [part.reshape(-1, n_components) for part in (before, after)]
    deviations = [(part - part.mean(axis=0)).reshape(-1, n_components) for part in (before, after)]
    return [
        dynamic_modes(*pairs),
        dynamic_modes(*pairs, weights=weights),
        dynamic_modes(*deviations, weights=weights),
    ]


def dynamic_modes(before: Floats, after: Floats, *, weights: Floats | None = None) -> AffineMap:
    """Fit one map from states to the next states, by least squares with an offset.

    Args:
        before: `(pair, component)`.
        after: `(pair, component)`.
        weights: weights of the pairs, `(pair)`; by default equal, which is exact DMD with an
            offset.

    Returns:
        The map; the eigenvalues of its transposed matrix are those of the dynamics.

    >>> states = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> dynamic_modes(states, states @ [[0.5, 0.0], [0.0, 2.0]]).matrix.round(9) + 0.0
    array([[0.5, 0. ],
           [0. , 2. ]])
    """
    shares = np.full(len(before), 1.0) if weights is None else weights
    shares = shares / shares.sum()
    center, offset = shares @ before, shares @ after
    roots = np.sqrt(shares)[:, np.newaxis]
    matrix = scipy.linalg.lstsq((before - center) * roots, (after - offset) * roots)[0]
    return AffineMap(center, matrix, offset)
