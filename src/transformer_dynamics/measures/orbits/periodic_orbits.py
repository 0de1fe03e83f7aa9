"""Unstable periodic orbits of single units: three tests for recurrence, each against surrogates.

The traces of all chosen samples of a unit are pooled, since one has only two values per layer:
relative to the size of the stream at each site, about the unit's median, in robust standard
deviations (see `trace_surrogates`). Then, per unit,

    transform      points of So et al. with a multiplier above 1, counted in levels a tenth of a
                   deviation wide, for embeddings 1 and 2 and periods 1 and 2
    close returns  |x[s+p] - x[s]| below a tenth of a deviation, by time of return p, over their
                   mean over times: a walk comes back often after few sites, an orbit after its own
    encounters     approaches along a direction that are followed by departures along a direction

(formulas: `recurrence`). Each is compared with two kinds of surrogates, sign-flipped increments and
shared phases. A peak's height is its excess over the surrogates in their standard deviations, at
least one count, and its p-value is that of the largest height over all levels (or times of return)
among the largest heights of the surrogates, recording and surrogates being treated alike, so that
looking at many places costs nothing. A unit is found by a test if p is at most 5 % against both.

Beside them stand the unstable excess, which needs no surrogates (see `unstable_excess`), and the
outward growth of the traces as recorded in the plane of activation and gradient, each axis in its
standard deviation over the trace, about the centroid, with its interval over texts.

Known answers: logistic map r = 4 at 0.75 (period two: 0.3455 and 0.9045), Henon map at 0.6314, both
found in traces of 60 values; of random walks at most 5 % are found, whatever the samples share and
however the steps grow. An embedding of 1 takes the turning points of a smooth path for fixed
points, so a finding there counts only if the embedding of 2 has it as well.

Cost: for each of the 2 x 99 surrogates about 15 operations per value and test: 128 samples x 61
sites x 32 units take some 20 s on one core. Memory: a dozen copies of the chosen traces.

Sources: So et al. (PRL 76, 4705, 1996), Lathrop and Kostelich (PRA 40, 4028, 1989), Pierson and
Moss (PRL 75, 2124, 1995); the orbits are claimed by arXiv 2502.12131. The pooling is ours.

Not handled: orbits of periods above two (the unstable excess looks at up to six); several units at
once; the share of units found is not corrected for the number of units, 5 % being expected.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.orbits.recurrence import (
    ENCOUNTER_SITES,
    close_returns,
    encounters,
    outward_growth,
    transformed_points,
    window_sites,
)
from transformer_dynamics.measures.orbits.traces import relative, robust_scores, subset
from transformer_dynamics.measures.orbits.unstable_excess import (
    level_centers,
    level_counts,
    text_halves,
    unstable_excess,
)
from transformer_dynamics.nulls.trace_surrogates import flipped_signs, shared_phases
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights, uniform_weights
from transformer_dynamics.stats.significance import monte_carlo_p

SOURCE = (
    "So et al. (PRL 76, 4705, 1996), Lathrop and Kostelich (PRA 40, 4028, 1989), Pierson and Moss "
    "(PRL 75, 2124, 1995); claimed by arXiv 2502.12131"
)
MIN_SITES = 4
EMBEDDINGS = (1, 2)
PERIODS = (1, 2)
SURROGATES = ("sign_flipped_increments", "shared_phases")
RADIUS = 0.1
N_BOOTSTRAP = 499
LEVEL = 0.05


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
    """Counts of all three tests, pooled over samples.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        max_time: longest time of return, in sites.
    """
    scaled, _, _ = robust_scores(relative(traces))
    transform = [
        [_unstable_points(scaled, embedding, period) for period in PERIODS]
        for embedding in EMBEDDINGS
    ]
    with np.errstate(invalid="ignore"):
        returns = close_returns(scaled, max_time, radius=RADIUS).sum(axis=1).T
        shares = 100 * returns / np.maximum(returns.mean(axis=1, keepdims=True), 1 / max_time)
        met = np.isfinite(encounters(scaled)).sum(axis=(0, 2))[:, np.newaxis]
    return Marks(np.array(transform, float), shares, met.astype(float))


def _unstable_points(scaled: Floats, embedding: int, period: int) -> NDArray[np.int64]:
    points, multiplier = transformed_points(scaled, embedding=embedding, period=period)
    counts: NDArray[np.int64] = level_counts(points, multiplier > 1)[0]
    return counts


def largest_height(observed: Floats, draws: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Largest excess of counts over those of surrogates, over all places.

    A height is (count - mean) / deviation over the draws and the observed counts together, the
    deviation being at least one count (or per cent), so that a lone point where no draw has one is
    no peak. Since all are treated alike, the p-value is exact where draws and observed counts are
    exchangeable, however many places there are.

    Args:
        observed: counts `(..., place)`.
        draws: counts of the surrogates, `(draw, ..., place)`.

    Returns:
        Height and p-value, the share of draws and of the observed itself whose largest height is
        at least as great, and the index of the place, each `(...)`.

    >>> largest_height(np.array([3.0, 9.0]), np.array([[3.0, 3.0], [2.0, 4.0], [4.0, 2.0]]))[1:]
    (np.float64(0.25), np.int64(1))
    """
    together = np.concatenate([draws, observed[np.newaxis]])
    deviation = np.maximum(together.std(axis=0), 1.0)
    heights = (together - together.mean(axis=0)) / deviation
    largest = heights.max(axis=-1)
    p = monte_carlo_p(largest[-1], largest[:-1])
    place: NDArray[np.int64] = heights[-1].argmax(axis=-1)
    return largest[-1], p, place


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
        n_samples: samples at most, a random choice of the recording's.
        n_units: units at most, a random choice; `unit` holds their numbers.
        n_surrogates: draws of each kind of surrogate; p is at least 1/(n_surrogates + 1).
        max_time: longest time of return that is counted, in sites.
        seed: of the choices and the surrogates.

    Returns:
        `transform` `(embedding, period, unit, level)`, unstable transformed points, with
        `transform_p` and `transform_height` `(surrogate, embedding, period, unit)` and `peak`
        `(embedding, period, unit)`, the level of the highest peak; `returns` `(unit, time)` with
        `returns_p` `(surrogate, unit)`; `encounters` `(unit)` with `encounters_p` and
        `encounters_height` `(surrogate, unit)`; mean and deviation of the surrogates as
        `surrogate_...`; `found` `(test)`, the share of units whose p is at most 5 % against all
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
        draws, growths = _surrogates(traces, max_time, n_surrogates, seed)
        result = _tests(traces, marks(traces, max_time), draws)
        result = result.merge(_growth(traces, chosen.groups, growths, seed))
        found = unstable_excess(traces, uniform_weights(len(traces)), text_halves(chosen.groups))
        result["unstable_excess"] = (
            "unit",
            np.where(found.around > 0, found.excess / found.around, np.nan)[0],
            {"units": "1", "denominator": "transformed points per level around the one found"},
        )
    _warn_where_undefined(result)
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


def _surrogates(
    traces: Floats, max_time: int, n_surrogates: int, seed: int
) -> tuple[dict[str, Marks], Floats]:
    """Counts in the draws of each kind, `(draw, ...)`, and the growth of the flipped traces."""
    sized = relative(traces)
    draws: dict[str, list[Marks]] = {name: [] for name in SURROGATES}
    growths = []
    for draw in range(n_surrogates):
        rng = np.random.default_rng([seed, draw])
        flipped = flipped_signs(traces, rng)
        growths.append(_growths(flipped).mean(axis=0))
        draws["sign_flipped_increments"].append(marks(flipped, max_time))
        draws["shared_phases"].append(marks(shared_phases(sized, rng), max_time))
    stacked = {
        name: Marks(*(np.stack(counts) for counts in zip(*of_kind, strict=True)))
        for name, of_kind in draws.items()
    }
    return stacked, np.stack(growths)


def _tests(traces: Floats, observed: Marks, draws: dict[str, Marks]) -> xr.Dataset:
    """The three tests and what they find."""
    n_samples, _, n_sites = traces.shape
    _, middle, deviation = robust_scores(relative(traces))
    combination, per_unit = ("embedding", "period", "unit"), ("unit",)
    dims = {"transform": combination, "returns": per_unit, "encounters": per_unit}
    places = {"transform": "level", "returns": "time", "encounters": "once"}
    result = xr.Dataset()
    for name, counts in observed._asdict().items():
        of_draws = {kind: getattr(marks_, name) for kind, marks_ in draws.items()}
        defined = _defined(name, n_sites) & np.isfinite(deviation)
        tested = [largest_height(counts, of_draw) for of_draw in of_draws.values()]
        along = ("surrogate", *dims[name])
        result[f"{name}_height"] = (along, [np.where(defined, t[0], np.nan) for t in tested])
        result[f"{name}_p"] = (along, [np.where(defined, t[1], np.nan) for t in tested])
        place = (*dims[name], places[name])
        divisor = 1 if name == "returns" else n_samples
        result[name] = (place, np.where(defined[..., np.newaxis], counts, np.nan) / divisor)
        for word, pooled in (("mean", np.mean), ("deviation", np.std)):
            result[f"surrogate_{name}_{word}"] = (
                ("surrogate", *place),
                np.stack([pooled(of_draw, axis=0) for of_draw in of_draws.values()]) / divisor,
            )
        if name == "transform":
            level = level_centers()[tested[0][2]] * deviation + middle
            result["peak"] = (combination, np.where(defined, level, np.nan))
    result = result.isel(once=0)
    for variable, values in result.data_vars.items():
        values.attrs = _attrs(str(variable))
    result["found"] = _found(result)
    return result


def _defined(name: str, n_sites: int) -> NDArray[np.bool_]:
    """Tests with enough sites, to be broadcast over units."""
    if name == "transform":
        windows = [[window_sites(p, d) <= n_sites for p in PERIODS] for d in EMBEDDINGS]
        return np.array(windows)[..., np.newaxis]
    return np.array([n_sites >= (ENCOUNTER_SITES if name == "encounters" else 2)])


def _attrs(name: str) -> dict[str, str]:
    if name.endswith("_p"):
        return {"units": "1", "denominator": "draws of the surrogate + 1"}
    if name.endswith("_height"):
        return {"units": "deviations of the surrogates, at least one count", "denominator": "none"}
    if "returns" in name:
        return {"units": "per cent", "denominator": "mean over times of return"}
    if name == "peak":
        return {
            "units": "1",
            "denominator": "size of the stream at the site, median of |x| over samples and units",
            "definition": "level of the highest peak against sign-flipped increments",
        }
    return {"units": "counts per trace", "denominator": "samples"}


def _found(result: xr.Dataset) -> xr.DataArray:
    """Share of units that each test finds against all surrogates, `(test)`."""
    shares = {}
    for name in Marks._fields:
        p = result[f"{name}_p"].max("surrogate", skipna=False)
        rows = p.values.reshape(-1, p.sizes["unit"])
        labels = [name.replace("returns", "close returns")]
        if name == "transform":
            labels = [f"transform, embedding {d}, period {q}" for d in EMBEDDINGS for q in PERIODS]
        for label, row in zip(labels, rows, strict=True):
            tested = row[np.isfinite(row)]
            shares[label] = (tested <= LEVEL).mean() if tested.size else np.nan
    return xr.DataArray(
        list(shares.values()),
        dims="test",
        coords={"test": np.array(list(shares), dtype=object)},
        attrs={
            "units": "1",
            "denominator": "units with a p-value",
            "definition": f"p at most {LEVEL:g} against every kind of surrogate",
        },
    )


def _growths(traces: Floats) -> Floats:
    """Outward growth of every trace in the plane of activation and gradient, `(sample, unit)`."""
    points = np.stack([traces, np.gradient(traces, axis=-1)], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return outward_growth(points / points.std(axis=-2, keepdims=True))


def _growth(traces: Floats, groups: NDArray[Any], flipped: Floats, seed: int) -> xr.Dataset:
    """Mean growth over samples with its interval over texts, and that of flipped increments."""
    slopes = _growths(traces)
    mean = slopes.mean(axis=0)
    low, high = percentile_interval(text_weights(groups, N_BOOTSTRAP, seed=seed) @ slopes)
    per_radian = {
        "units": "1 per radian",
        "denominator": "samples",
        "definition": "slope of ln radius over the angle covered clockwise; positive is outwards",
    }
    values = {
        "growth": mean,
        "growth_low": low,
        "growth_high": high,
        "growth_surrogate": flipped.mean(axis=0),
        "growth_p": monte_carlo_p(mean, flipped),
    }
    dataset = xr.Dataset({name: ("unit", value, per_radian) for name, value in values.items()})
    dataset["growth_p"].attrs = _attrs("growth_p")
    return dataset


def _warn_where_undefined(result: xr.Dataset) -> None:
    counts = {
        name: int(result[name].isnull().sum())
        for name in ("transform_p", "returns_p", "encounters_p", "unstable_excess", "growth")
    }
    undefined = [
        f"{count} of {result[name].size} of {name}" for name, count in counts.items() if count
    ]
    if undefined:
        warnings.warn(
            f"undefined (NaN): {', '.join(undefined)}; that is where half of a unit's values are "
            "equal or not finite, or where the recording has too few sites, samples or texts",
            UndefinedWarning,
            stacklevel=4,
        )
