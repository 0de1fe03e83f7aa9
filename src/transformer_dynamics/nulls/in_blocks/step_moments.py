"""Mean and covariance over samples of the steps between two sites, also in passes over a store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from transformer_dynamics.nulls.increments import States, working_dtype
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.blocks import unit_sets
from transformer_dynamics.recording import Recording

# Eigenvalues below this share of the largest are rounding errors.
ROUNDING = 1e-12


def moves_in_blocks(
    recording: Recording, spans: Sequence[tuple[int, int]]
) -> list[tuple[States, States]]:
    """Spread `(unit)` and factor `(unit, unit)` of the steps within each span of sites.

    The spread is the root of the summed squares of the mean steps, and R'R of a factor R the sum of
    the covariances of the steps. In float64, as many spans in one pass as fit into memory.
    """
    n_units, dtype = recording.shape[2], working_dtype(recording.activation.dtype)
    moves: list[tuple[States, States]] = []
    # A span takes the place of a unit here: its sums are one matrix.
    for chosen in unit_sets(len(spans), 8 * n_units**2):
        for spread, covariance in _of_spans(recording, spans[chosen]):
            moves.append((spread.astype(dtype), root(covariance).astype(dtype)))
    return moves


def _of_spans(
    recording: Recording, spans: Sequence[tuple[int, int]]
) -> list[tuple[Floats, Floats]]:
    n_samples, _, n_units = recording.shape
    steps = sorted({step for begin, end in spans for step in range(begin, end)})
    first: dict[int, Floats] = {}
    sums = {step: np.zeros(n_units) for step in steps}
    products = [np.zeros((n_units, n_units)) for _ in spans]
    for _, states in recording.blocks():
        for product, (begin, end) in zip(products, spans, strict=True):
            for step in range(begin, end):
                own = np.subtract(states[:, step + 1], states[:, step], dtype=np.float64)
                # Deviations from the first sample lose no digits where the mean step is large.
                own -= first.setdefault(step, own[0].copy())
                sums[step] += own.sum(axis=0)
                product += own.T @ own
    found = []
    for product, (begin, end) in zip(products, spans, strict=True):
        means = np.stack([sums[step] / n_samples for step in range(begin, end)])
        whole = means + np.stack([first[step] for step in range(begin, end)])
        covariance = (product - n_samples * means.T @ means) / max(1, n_samples - 1)
        found.append((np.sqrt((whole**2).sum(axis=0)), covariance))
    return found


def root(covariance: Floats) -> Floats:
    """R `(rank, unit)` with R'R the covariance."""
    try:
        return np.asarray(linalg.cholesky(covariance, check_finite=False))
    except linalg.LinAlgError:
        # Linearly dependent units.
        values, vectors = linalg.eigh(covariance, check_finite=False)
        kept = values > ROUNDING * max(values[-1], 0.0)
        return np.asarray(np.sqrt(values[kept])[:, np.newaxis] * vectors[:, kept].T)
