"""Marks of periodic orbits: counts of the three tests, in traces and in their surrogates.

Per unit, over the pooled robust scores of its traces:

    transform      transformed points (`fixed_points`) with a multiplier above 1, per level, for
                   embeddings 1 and 2 and periods 1 and 2
    close returns  |x[s+p] - x[s]| below a tenth of a deviation, by time of return p, over their
                   mean over times
    encounters     approaches along a direction followed by departures along a direction
                   (`recurrence`)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.orbits.fixed_points import transformed_points
from transformer_dynamics.measures.orbits.growth import trace_growth
from transformer_dynamics.measures.orbits.levels import level_counts
from transformer_dynamics.measures.orbits.recurrence import close_returns, encounters
from transformer_dynamics.measures.orbits.traces import relative, robust_scores
from transformer_dynamics.nulls.trace_surrogates import flipped_signs, shared_phases
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.stats.significance import monte_carlo_p

EMBEDDINGS = (1, 2)
PERIODS = (1, 2)
SURROGATES = ("sign_flipped_increments", "shared_phases")
RADIUS = 0.1


class Marks(NamedTuple):
    """Events that the tests count in traces.

    Attributes:
        transform: `(embedding, period, unit, level)`, unstable transformed points.
        returns: `(unit, time)`, close returns in per cent of their mean over times.
        encounters: `(unit, 1)`, encounters.
    """

    transform: Floats
    returns: Floats
    encounters: Floats


def marks(traces: Floats, max_time: int) -> Marks:
    """Count the events of all three tests, pooled over samples.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        max_time: longest time of return, in sites.
    """
    scores, _, _ = robust_scores(relative(traces))
    transform = [
        [_unstable_points(scores, embedding, period) for period in PERIODS]
        for embedding in EMBEDDINGS
    ]
    with np.errstate(invalid="ignore"):
        returns = close_returns(scores, max_time, radius=RADIUS).sum(axis=1).T
        shares = 100 * returns / np.maximum(returns.mean(axis=1, keepdims=True), 1 / max_time)
        met = np.isfinite(encounters(scores)).sum(axis=(0, 2))[:, np.newaxis]
    return Marks(np.array(transform, float), shares, met.astype(float))


def _unstable_points(scores: Floats, embedding: int, period: int) -> NDArray[np.int64]:
    points, multiplier = transformed_points(scores, embedding=embedding, period=period)
    counts: NDArray[np.int64] = level_counts(points, multiplier > 1)[0]
    return counts


def surrogate_marks(
    traces: Floats, max_time: int, n_surrogates: int, seed: int
) -> tuple[dict[str, Marks], Floats]:
    """Count the events in surrogates of each kind, and measure the growth of flipped traces.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        max_time: longest time of return, in sites.
        n_surrogates: number of draws of each kind.
        seed: seed of the draws.

    Returns:
        Counts `(draw, ...)` by kind, and mean outward growth over samples `(draw, unit)`.
    """
    sized = relative(traces)

    def drawn(draw: int) -> tuple[Floats, Marks, Marks]:
        rng = np.random.default_rng([seed, draw])
        flipped = flipped_signs(traces, rng)
        growth = trace_growth(flipped).mean(axis=0)
        phases = shared_phases(sized, rng)
        return growth, marks(flipped, max_time), marks(phases, max_time)

    growths, *of_kinds = zip(*map_in_threads(drawn, range(n_surrogates)), strict=True)
    stacked = {
        name: Marks(*(np.stack(counts) for counts in zip(*of_kind, strict=True)))
        for name, of_kind in zip(SURROGATES, of_kinds, strict=True)
    }
    return stacked, np.stack(growths)


def largest_height(observed: Floats, draws: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Find the largest excess of counts over those of surrogates, over all bins.

    A height is (count - mean) / deviation over the draws and the observed counts together. The
    deviation is at least one count (or per cent), so that a single point where no draw has one is
    no peak. Observed counts and draws are treated alike, so the p-value is exact where they are
    exchangeable, for any number of bins.

    Args:
        observed: counts `(..., bin)`.
        draws: counts of the surrogates, `(draw, ..., bin)`.

    Returns:
        Height and p-value, the share of draws and of the observed counts whose largest height is
        at least as great, and the index of the bin, each `(...)`.

    >>> largest_height(np.array([3.0, 9.0]), np.array([[3.0, 3.0], [2.0, 4.0], [4.0, 2.0]]))[1:]
    (np.float64(0.25), np.int64(1))
    """
    together = np.concatenate([draws, observed[np.newaxis]])
    deviation = np.maximum(together.std(axis=0), 1.0)
    heights = (together - together.mean(axis=0)) / deviation
    largest = heights.max(axis=-1)
    p = monte_carlo_p(largest[-1], largest[:-1])
    index: NDArray[np.int64] = heights[-1].argmax(axis=-1)
    return largest[-1], p, index
