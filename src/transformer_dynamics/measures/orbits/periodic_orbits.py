"""Unstable periodic orbits of single units: three tests for recurrence, each against surrogates.

The traces of all chosen samples of a unit are pooled (`traces`). The tests (`marks`) are the
transform of So et al., close returns and encounters; each is compared with two kinds of surrogates,
sign-flipped increments and shared phases. A test finds a unit if p is at most 5 % against both.
The result also holds the unstable excess, which needs no surrogates (`unstable_excess`), and the
outward growth of the traces as recorded (`growth`).

Known answers, null models and pitfalls: docs/measures/orbits.periodic_orbits.md.
Cost: about 15 operations per value and test for each of the 2 x 99 surrogates; 128 samples x 61
sites x 32 units take some 20 s on one core. Memory: a dozen copies of the chosen traces.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.orbits.growth import mean_growth
from transformer_dynamics.measures.orbits.levels import level_centers
from transformer_dynamics.measures.orbits.marks import (
    EMBEDDINGS,
    PERIODS,
    SURROGATES,
    marks,
    surrogate_marks,
)
from transformer_dynamics.measures.orbits.recurrence_tests import recurrence_tests
from transformer_dynamics.measures.orbits.traces import subset
from transformer_dynamics.measures.orbits.unstable_excess import text_halves, unstable_excess
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.bootstrap import uniform_weights

SOURCE = (
    "So et al. (PRL 76, 4705, 1996), Lathrop and Kostelich (PRA 40, 4028, 1989), Pierson and Moss "
    "(PRL 75, 2124, 1995); claimed by arXiv 2502.12131"
)
MIN_SITES = 4
MAY_BE_UNDEFINED = ("transform_p", "returns_p", "encounters_p", "unstable_excess", "growth")


@measure(
    "orbits.periodic_orbits",
    title="Unstable periodic orbits of units",
    source=SOURCE,
)
def periodic_orbits(
    recording: Recording,
    *,
    n_samples: int = 128,
    n_units: int = 32,
    n_surrogates: int = 99,
    max_time: int = 8,
    seed: int = 0,
) -> xr.Dataset:
    """Tests of units for unstable periodic orbits, pooled over samples, against surrogates.

    Args:
        recording: states `(sample, site, unit)`.
        n_samples: largest number of samples; more are subsampled, seeded.
        n_units: largest number of units; more are subsampled, and `unit` holds their numbers.
        n_surrogates: number of draws of each kind of surrogate; p is at least 1/(n_surrogates + 1).
        max_time: longest time of return, in sites.
        seed: seed of the subsamples and the surrogates.

    Returns:
        `transform` `(embedding, period, unit, level)`, unstable transformed points, with
        `transform_p` and `transform_height` `(surrogate, embedding, period, unit)` and `peak`
        `(embedding, period, unit)`, the level of the highest peak; `returns` `(unit, time)` with
        `returns_p` `(surrogate, unit)`; `encounters` `(unit)` with `encounters_p` and
        `encounters_height` `(surrogate, unit)`; mean and deviation of the surrogates as
        `surrogate_...`; `found` `(test)`, share of units whose p is at most 5 % against all
        surrogates; `unstable_excess` `(unit)`; `growth`, `growth_low`, `growth_high`,
        `growth_surrogate`, `growth_p` `(unit)`. NaN, with one `UndefinedWarning`, for units that do
        not vary, and for tests that need more sites than there are.

    Raises:
        InputError: fewer than four sites, or a number of samples, units, surrogates or a time
            below 1.
    """
    _check(recording, n_samples, n_units, n_surrogates, max_time)
    chosen = subset(recording, n_samples, n_units, seed=seed)
    traces = np.ascontiguousarray(chosen.values.transpose(0, 2, 1), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws, growths = surrogate_marks(traces, max_time, n_surrogates, seed)
        result = recurrence_tests(traces, marks(traces, max_time), draws)
        result = result.merge(mean_growth(traces, chosen.groups, growths, seed=seed))
        result["unstable_excess"] = _excess(traces, chosen.groups)
    reason = (
        "half of a unit's values are equal, or the recording has too few sites, samples or texts"
    )
    warn_undefined({name: result[name].values for name in MAY_BE_UNDEFINED}, reason, stacklevel=3)
    return result.assign_coords(
        unit=chosen.dataset["unit"].values,
        surrogate=np.array(SURROGATES, dtype=object),
        embedding=list(EMBEDDINGS),
        period=list(PERIODS),
        time=np.arange(1, max_time + 1),
        level=level_centers(),
    ).assign_attrs(pooling=f"{traces.shape[0]} samples per unit, {traces.shape[1]} units")


def _check(recording: Recording, *sizes: int) -> None:
    if recording.shape[1] < MIN_SITES or min(sizes) < 1:
        raise InputError(
            f"got a recording of {recording.shape[1]} sites and (n_samples, n_units, n_surrogates, "
            f"max_time) = {sizes}; it takes at least {MIN_SITES} sites and numbers of at least 1: "
            "td.orbits.periodic_orbits(recording, n_samples=128, n_units=32, n_surrogates=99)"
        )


def _excess(traces: Floats, groups: NDArray[np.int64]) -> xr.Variable:
    """Compute the unstable excess of each unit, `(unit)`, without weights."""
    parts = unstable_excess(traces, uniform_weights(len(traces)), text_halves(groups))
    values = np.where(parts.around > 0, parts.excess / parts.around, np.nan)[0]
    attrs = {"units": "1", "denominator": "transformed points per level around the one found"}
    return xr.Variable("unit", values, attrs)
