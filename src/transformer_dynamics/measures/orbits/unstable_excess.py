"""Unstable excess: transformed points that traces leave more often than they approach.

With U(b) the unstable transformed points of the traces in level b (`fixed_points`, embedding 1) and
V(b) those of the traces read backwards over depth, e = U - V and t = U + V:

    excess = (e(b*) - mean of e around b*) / mean of t around b*

Level b* and period are chosen on half of the texts in half of the depth, and the excess is measured
on the other texts in the other half. Reasons and known answers:
docs/measures/orbits.periodic_orbits.md. Sources: ours; the transform is that of So et al. (PRL 76,
4705, 1996), the reversal that of Diks et al. (Phys. Lett. A 201, 221, 1995).
Cost: two transforms per period; 64 samples x 60 sites x 24 units take about 0.1 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from transformer_dynamics.measures.orbits.fixed_points import transformed_points
from transformer_dynamics.measures.orbits.levels import N_LEVELS, level_centers, level_counts
from transformer_dynamics.measures.orbits.traces import relative, robust_scores
from transformer_dynamics.numerics.arrays import Floats

# About six sublayers to a turn is what arXiv 2502.12131 reports: 10.74 turns over 64 sublayers.
MAX_PERIOD = 6
AROUND = 6
OFFSETS = np.arange(-AROUND, AROUND + 1)
IS_AROUND = np.abs(OFFSETS) > 1
SEED = 0


class UnstableExcess(NamedTuple):
    """Unstable excess of every unit, and the levels at which it was measured.

    Attributes:
        excess: `(draw, unit)`, unstable less stable points at the chosen level, less those around
            it, weighted over samples.
        around: `(draw, unit)`, all points per level around it: the denominator.
        profile: `(offset)`, unstable less stable points by distance from the chosen level, in
            levels, pooled over units, over the same denominator.
        level: `(fold, unit)`, chosen level, in robust standard deviations from the median.
        period: `(fold, unit)`, chosen period, in sites.
    """

    excess: Floats
    around: Floats
    profile: Floats
    level: Floats
    period: NDArray[np.int64]


def text_halves(text_index: NDArray[Any]) -> NDArray[np.bool_]:
    """Assign every other text or group of texts to the first half, `(sample)`."""
    _, text = np.unique(text_index, return_inverse=True)
    return np.asarray(text % 2 == 0)


def longest_period(n_sites: int) -> int:
    """Return the longest period whose windows fit into half of the depth; 0 where none does."""
    return max(0, min(MAX_PERIOD, (n_sites // 2 - 1) // 2))


def unstable_excess(
    traces: NDArray[Any], weights: Floats, in_first: NDArray[np.bool_]
) -> UnstableExcess:
    """Compute the unstable excess of every unit, pooled over samples.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        weights: weights of the samples on which the excess is measured, `(draw, sample)`. The level
            is chosen without them, so that no draw of a bootstrap chooses anew.
        in_first: membership in the first half of the texts, `(sample)`.

    Returns:
        Excess and denominator, `(draw, unit)`; their ratio is the excess, dimensionless. NaN for
        fewer than six sites, for one text only and for units whose values do not vary.
    """
    periods = range(1, longest_period(traces.shape[-1]) + 1)
    scores, _, deviation = robust_scores(relative(traces))
    n_units = traces.shape[1]
    varies = np.isfinite(deviation)
    signed, total = _counts(scores, periods)
    excess, denominator = np.zeros((2, len(weights), n_units))
    profile = np.zeros(OFFSETS.size)
    level, period = np.full((4, n_units), np.nan), np.zeros((4, n_units), dtype=np.int64)
    folds = [(texts, half) for texts in (in_first, ~in_first) for half in (0, 1)]
    if not periods or in_first.all() or not in_first.any():
        folds = []
    for fold, (texts, half) in enumerate(folds):
        row, index = _greatest(
            signed[:, texts, half].sum(axis=1), total[:, texts, half].sum(axis=1)
        )
        level[fold], period[fold] = level_centers()[index], np.asarray(periods)[row]
        others = weights[:, ~texts]
        near = _near(others, signed[:, ~texts, 1 - half], row, index)
        excess += near[..., AROUND] - _mean_around(near, index)
        near_total = _near(others, total[:, ~texts, 1 - half], row, index)
        denominator += _mean_around(near_total, index)
        profile += near[0, varies].sum(axis=0)
    defined = varies if folds else np.zeros_like(varies)
    around = denominator[0].sum()
    profile = profile / around if around > 0 else np.full_like(profile, np.nan)
    excess, denominator = (np.where(defined, part, np.nan) for part in (excess, denominator))
    return UnstableExcess(excess, denominator, profile, level, period)


def _counts(scores: Floats, periods: Sequence[int]) -> tuple[Floats, Floats]:
    """Count unstable points of traces less those of reversed traces, and their sum.

    Returns:
        Each `(period, sample, half, unit, level)`; a window lies wholly in one half of the depth.
    """
    n_samples, n_units, n_sites = scores.shape
    first, second = scores[..., : n_sites // 2], scores[..., n_sites - n_sites // 2 :]
    paths = np.concatenate([first, second, first[..., ::-1], second[..., ::-1]])
    signed, total = np.empty((2, len(periods), n_samples, 2, n_units, N_LEVELS))
    for row, period in enumerate(periods):
        points, multiplier = transformed_points(paths, period=period, seed=SEED)
        counts = level_counts(points, multiplier > 1, per_sample=True)
        forward, backward = counts.reshape(2, 2, n_samples, n_units, N_LEVELS)
        signed[row] = np.moveaxis(forward - backward, 0, 1)
        total[row] = np.moveaxis(forward + backward, 0, 1)
    return signed, total


def _greatest(signed: Floats, total: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the row of the period and the index of the level with the largest contrast, `(unit)`."""
    kernel = IS_AROUND.astype(np.float64)
    n_around = ndimage.convolve1d(np.ones(N_LEVELS), kernel, mode="constant")
    contrast = signed - ndimage.convolve1d(signed, kernel, axis=-1, mode="constant") / n_around
    noise = ndimage.convolve1d(total, kernel, axis=-1, mode="constant") / n_around
    ratio = np.moveaxis(contrast / np.sqrt(noise + 1), 0, 1)
    return np.divmod(ratio.reshape(len(ratio), -1).argmax(axis=1), N_LEVELS)


def _near(
    weights: Floats, counts: Floats, row: NDArray[np.int64], index: NDArray[np.int64]
) -> Floats:
    """Weight the counts at levels near the chosen one, `(draw, unit, offset)`; 0 out of range."""
    levels = index[:, np.newaxis] + OFFSETS
    units = np.arange(len(index))[:, np.newaxis]
    # An index on either side of a slice puts the sliced axis last: (unit, offset, sample).
    near = counts[row[:, np.newaxis], :, units, np.clip(levels, 0, N_LEVELS - 1)]
    near *= _exists(index)[..., np.newaxis]
    return np.asarray(np.moveaxis(near @ weights.T, -1, 0))


def _mean_around(near: Floats, index: NDArray[np.int64]) -> Floats:
    """Average over the existing levels around the chosen one, `(draw, unit)`."""
    around = _exists(index) & IS_AROUND
    return np.asarray((near * around).sum(axis=-1) / around.sum(axis=-1))


def _exists(index: NDArray[np.int64]) -> NDArray[np.bool_]:
    levels = index[:, np.newaxis] + OFFSETS
    return np.asarray((levels >= 0) & (levels < N_LEVELS))
