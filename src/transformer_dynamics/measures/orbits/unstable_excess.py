"""Unstable excess: a point that traces leave more often than they settle on, found and then tested.

The transform of So et al. (see `recurrence`, embedding 1) puts a point where a trace, over the next
2 p sites, would stay; its multiplier says whether it would move away from there. Let

    U(b)   number of transformed points in level b whose multiplier is above 1, of the traces
    V(b)   the same, of the traces read backwards over depth
    e = U - V,   t = U + V

For every process that looks the same backwards the expectation of e is zero at every level: for
linear Gaussian noise around a stable point, for a rotation, noisy or not, for a random walk with
steps of any size. Near an unstable periodic point it is positive, since traces leave such a point
slowly along its unstable direction, and reach it fast. So

    excess = (e(b*) - mean of e around b*) / mean of t around b*

with b* and the period p chosen on half of the texts in one half of the depth as the greatest of
(e - e around) / sqrt(t around + 1), and the excess measured on the other texts in the other half
of the depth; numerators and denominators of the four choices of halves are added. So the choice is
not rewarded, and what one stretch of depth does to all samples alike, a place on a shared path, is
not counted as a return. Levels are a tenth of the unit's robust standard deviation wide, in traces
relative to the size of the stream at each site; around b* are the levels two to six away.

Known answers: 0 for walks and for stationary linear noise, about 11 for the logistic map at r = 4,
5.5 for the Henon map; see the tests.

Cost: two transforms per period, and one count per sample, half, unit and level; 64 samples x 60
sites x 24 units take about 0.1 s.

Source: ours; the transform is that of So et al. (PRL 76, 4705, 1996), telling chaos from noise by
reading backwards that of Diks et al. (Phys. Lett. A 201, 221, 1995).

Not handled: orbits of area-preserving maps, which are left as fast as they are reached (their
excess is zero); orbits that exist in one half of the depth only; stable orbits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from transformer_dynamics.measures.orbits.recurrence import transformed_points
from transformer_dynamics.measures.orbits.traces import relative, robust_scores
from transformer_dynamics.numerics.arrays import Floats

LEVEL_LIMIT = 3.0
N_LEVELS = 60
LEVEL_WIDTH = 2 * LEVEL_LIMIT / N_LEVELS
# About six sublayers to a turn is what arXiv 2502.12131 reports: 10.74 turns over 64 sublayers.
MAX_PERIOD = 6
AROUND = 6
OFFSETS = np.arange(-AROUND, AROUND + 1)
IS_AROUND = np.abs(OFFSETS) > 1
SEED = 0


class UnstableExcess(NamedTuple):
    """Unstable excess of every unit, and the points at which it was found.

    Attributes:
        excess: `(draw, unit)`, unstable less stable points at the level found, less those around
            it, weighted over samples.
        around: `(draw, unit)`, all points per level around it: the denominator.
        profile: `(offset)`, unstable less stable points by distance from the level found, in
            levels, pooled over units, over the same denominator.
        level: `(fold, unit)`, where it was found, in robust standard deviations from the median.
        period: `(fold, unit)`, at which period, in sites.
    """

    excess: Floats
    around: Floats
    profile: Floats
    level: Floats
    period: NDArray[np.int64]


def level_centers() -> Floats:
    """Middles of the levels, `(level)`, in robust standard deviations from a unit's median."""
    return np.asarray(-LEVEL_LIMIT + LEVEL_WIDTH * (np.arange(N_LEVELS) + 0.5))


def level_counts(
    points: Floats, keep: NDArray[np.bool_], *, per_sample: bool = False
) -> NDArray[np.int64]:
    """Count the points in each level.

    Args:
        points: `(sample, unit, window)`, in robust standard deviations from the median.
        keep: which of them count, of the same shape.
        per_sample: whether samples are counted apart rather than together.

    Returns:
        `(sample, unit, level)`, of size 1 along `sample` where samples are counted together.
    """
    n_samples, n_units, _ = points.shape
    groups = n_samples if per_sample else 1
    with np.errstate(invalid="ignore"):
        place = np.floor((points + LEVEL_LIMIT) / LEVEL_WIDTH)
        keep = keep & (place >= 0) & (place < N_LEVELS)
    cell = np.arange(n_units)[:, np.newaxis]
    if per_sample:
        cell = cell + n_units * np.arange(n_samples)[:, np.newaxis, np.newaxis]
    index = np.broadcast_to(cell * N_LEVELS, points.shape)[keep] + place[keep].astype(np.int64)
    return np.bincount(index, minlength=groups * n_units * N_LEVELS).reshape(
        groups, n_units, N_LEVELS
    )


def text_halves(text_index: NDArray[Any]) -> NDArray[np.bool_]:
    """Membership in the first half, every other text or group of texts, `(sample)`."""
    _, text = np.unique(text_index, return_inverse=True)
    return np.asarray(text % 2 == 0)


def longest_period(n_sites: int) -> int:
    """The longest period whose windows fit into half of the depth; 0 where none does."""
    return max(0, min(MAX_PERIOD, (n_sites // 2 - 1) // 2))


def unstable_excess(
    traces: NDArray[Any], weights: Floats, in_first: NDArray[np.bool_]
) -> UnstableExcess:
    """The unstable excess of every unit, pooled over samples.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        weights: `(draw, sample)`, of the samples on which the excess is measured; the level is
            chosen without them, so that a bootstrap does not reward the choice anew.
        in_first: `(sample)`, which samples belong to the first half of the texts.

    Returns:
        Excess and denominator, `(draw, unit)`, the ratio of which is the excess, without unit; NaN
        for fewer than six sites, for one text only and for units whose values do not vary.
    """
    periods = range(1, longest_period(traces.shape[-1]) + 1)
    scaled, _, deviation = robust_scores(relative(traces))
    n_units = traces.shape[1]
    varies = np.isfinite(deviation)
    signed, total = _counts(scaled, periods)
    excess, beside = np.zeros((2, len(weights), n_units))
    profile = np.zeros(OFFSETS.size)
    level, period = np.full((4, n_units), np.nan), np.zeros((4, n_units), dtype=np.int64)
    folds = [(texts, half) for texts in (in_first, ~in_first) for half in (0, 1)]
    if not periods or in_first.all() or not in_first.any():
        folds = []
    for fold, (texts, half) in enumerate(folds):
        found, place = _greatest(
            signed[:, texts, half].sum(axis=1), total[:, texts, half].sum(axis=1)
        )
        level[fold], period[fold] = level_centers()[place], np.asarray(periods)[found]
        others = weights[:, ~texts]
        near = _beside(others, signed[:, ~texts, 1 - half], found, place)
        excess += near[..., AROUND] - _mean_around(near, place)
        beside += _mean_around(_beside(others, total[:, ~texts, 1 - half], found, place), place)
        profile += near[0, varies].sum(axis=0)
    defined = varies if folds else np.zeros_like(varies)
    around = beside[0].sum()
    profile = profile / around if around > 0 else np.full_like(profile, np.nan)
    return UnstableExcess(
        np.where(defined, excess, np.nan), np.where(defined, beside, np.nan), profile, level, period
    )


def _counts(scaled: Floats, periods: Sequence[int]) -> tuple[Floats, Floats]:
    """Unstable points of the traces less those of the traces read backwards, and their sum.

    Returns:
        Each `(period, sample, half, unit, level)`; a window lies wholly in one half of the depth.
    """
    n_samples, n_units, n_sites = scaled.shape
    first, second = scaled[..., : n_sites // 2], scaled[..., n_sites - n_sites // 2 :]
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
    """Row of the period and place of the level that stand out most, each `(unit)`."""
    kernel = IS_AROUND.astype(np.float64)
    n_around = ndimage.convolve1d(np.ones(N_LEVELS), kernel, mode="constant")
    contrast = signed - ndimage.convolve1d(signed, kernel, axis=-1, mode="constant") / n_around
    noise = ndimage.convolve1d(total, kernel, axis=-1, mode="constant") / n_around
    standing = np.moveaxis(contrast / np.sqrt(noise + 1), 0, 1)
    return np.divmod(standing.reshape(len(standing), -1).argmax(axis=1), N_LEVELS)


def _beside(
    weights: Floats, counts: Floats, row: NDArray[np.int64], place: NDArray[np.int64]
) -> Floats:
    """Weighted counts at the levels about the one found, `(draw, unit, offset)`; 0 beyond them."""
    levels = place[:, np.newaxis] + OFFSETS
    units = np.arange(len(place))[:, np.newaxis]
    # An index on either side of a slice puts the sliced axis last: (unit, offset, sample).
    there = counts[row[:, np.newaxis], :, units, np.clip(levels, 0, N_LEVELS - 1)]
    there *= _exists(place)[..., np.newaxis]
    return np.asarray(np.moveaxis(there @ weights.T, -1, 0))


def _mean_around(near: Floats, place: NDArray[np.int64]) -> Floats:
    """Mean over the levels around the one found, `(draw, unit)`, of those that exist."""
    around = _exists(place) & IS_AROUND
    return np.asarray((near * around).sum(axis=-1) / around.sum(axis=-1))


def _exists(place: NDArray[np.int64]) -> NDArray[np.bool_]:
    levels = place[:, np.newaxis] + OFFSETS
    return np.asarray((levels >= 0) & (levels < N_LEVELS))
