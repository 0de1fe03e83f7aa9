"""Split of a recording for the autoencoder: training, validation and scored texts.

All units share one mean per unit and one scale, the root mean square of the deviations of the
training states: one scalar keeps the geometry and the meaning of explained variance.

Source: ours. Cost: two passes over the training texts for the means, and one for the drawn states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.autoencoder_options import TrainingStates
from transformer_dynamics.measures.dimension.autoencoder_streaming import StreamedStates
from transformer_dynamics.measures.dimension.components.shares import ROUNDING
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import require_finite
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.numerics.standardize import unit_moments
from transformer_dynamics.recording.recording import Recording

# Shares of the texts for training, validation and scoring.
SPLIT = (0.6, 0.15, 0.25)
N_SCORED = 16384


@dataclass(frozen=True)
class StateSplit:
    """Training, validation and scored states of a recording, of different texts.

    Attributes:
        states: training and validation states.
        site_means: means of all training texts, `(site, unit)`.
        scored: states of the scored texts, `(sample, site, unit)`.
        samples: indices of the scored samples in the recording, `(sample)`.
    """

    states: TrainingStates | StreamedStates
    site_means: Floats
    scored: NDArray[Any]
    samples: NDArray[np.int64]


def split_states(recording: Recording, n_training: int | None, seed: int) -> StateSplit:
    """Split a recording by text and draw equally many training states at every site.

    Args:
        recording: states `(sample, site, unit)` of at least three texts.
        n_training: maximum number of training states; None to stream all of them from disk.
        seed: seed of the split and of the drawn states.

    Raises:
        InputError: fewer than three texts, or states that are not finite.
    """
    fitted, stopping, samples = split_texts(recording.groups, SPLIT, seed=seed)
    generator = np.random.default_rng((seed, len(fitted)))
    most = max(2, N_SCORED // recording.shape[1])
    if n_training is None:
        streamed = StreamedStates.of(recording, fitted, stopping)
        samples = np.sort(generator.permutation(samples)[:most])
        scored = _read(recording.isel(sample=samples))
        return StateSplit(streamed, streamed.site_means, scored, samples)
    moments = unit_moments(recording.isel(sample=fitted))
    require_finite(moments.variance)
    mean = moments.mean[0] + (moments.mean - moments.mean[0]).mean(axis=0)
    spread = float(moments.pooled_variance.mean())
    # A smaller variance is a rounding error of the states.
    scale = np.sqrt(spread) if spread > ROUNDING * float((mean**2).mean()) else 0.0
    n_validation = max(1, n_training * len(stopping) // len(fitted))
    states = TrainingStates(
        _site_rows(recording.isel(sample=fitted), n_training, generator),
        _site_rows(recording.isel(sample=stopping), n_validation, generator),
        mean,
        float(scale),
    )
    samples = np.sort(generator.permutation(samples)[:most])
    return StateSplit(states, moments.mean, _read(recording.isel(sample=samples)), samples)


def _site_rows(part: Recording, n_rows: int, generator: np.random.Generator) -> NDArray[Any]:
    """Draw about `n_rows` states `(row, unit)`, equally many at each site, independently."""
    n_samples, n_sites, n_units = part.shape
    per_site = max(1, n_rows // n_sites)
    drawn = np.stack([generator.permutation(n_samples)[:per_site] for _ in range(n_sites)])
    rows = np.empty((*drawn.shape, n_units), dtype=part.activation.dtype)
    for block, values in part.blocks():
        site, place = np.nonzero((drawn >= block.start) & (drawn < block.stop))
        rows[site, place] = values[drawn[site, place] - block.start, site]
    return rows.reshape(-1, n_units)


def _read(part: Recording) -> NDArray[Any]:
    """States in memory, block by block: dask would hold all blocks and their joined copy."""
    states = np.empty(part.shape, dtype=part.activation.dtype)
    for rows, values in part.blocks():
        states[rows] = values
    return states
