"""Units made independent of each other: the null for claims about few shared directions.

    x'[n, s, u] = x[pi_u(n), s, u],    pi_u a permutation of the samples, another for each unit

Every unit keeps its traces over depth, its distribution at every site and its correlation with
itself between sites; which units go together in a sample is lost. What remains of few directions
holding much variance is that few units hold it (massive ones), and chance.

Source: ours. Cost: one pass over the states.

Not handled: samples of the same text are treated as exchangeable, as any others.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null(
    "independent_units",
    keeps="every unit's traces over depth, as a set over samples",
    destroys="covariance between units",
)
def independent_units(recording: Recording, *, seed: int = 0) -> Recording:
    """The samples of every unit in another order, a permutation per unit and the same at all sites.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype.
    """
    values, rng = recording.values, np.random.default_rng(seed)
    n_samples, n_sites, n_units = values.shape
    orders = rng.permuted(np.tile(np.arange(n_samples)[:, np.newaxis], n_units), axis=0)
    shuffled = np.empty(values.shape, values.dtype)
    for site in range(n_sites):
        shuffled[:, site] = np.take_along_axis(values[:, site], orders, axis=0)
    return recording.with_values(shuffled, null="independent_units", seed=seed)
