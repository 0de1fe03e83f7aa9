"""Figures of `orbits.periodic_orbits`: tests for unstable periodic orbits, with surrogates."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy import stats

from transformer_dynamics.plots.backend import (
    Drawing,
    Group,
    Histogram,
    Interval,
    Intervals,
    Lines,
    Series,
)
from transformer_dynamics.plots.backend.bands import deviation_band, null_series
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.registry import figure

CHANCE = 0.05
SIGN_FLIPS = "sign-flipped increments"


@figure("orbits.periodic_orbits")
def draw_periodic_orbits(result: xr.Dataset) -> list[Drawing]:
    """Draw the share of units per test, the highest peak, close returns, and outward growth."""
    return [_shares(result), _peak(result), _returns(result), _growth(result)]


def _n(result: xr.Dataset) -> str:
    return f"{n_samples(result)}, {result.sizes['unit']} units"


def _surrogates(result: xr.Dataset) -> str:
    return ", ".join(str(kind).replace("_", " ") for kind in result["surrogate"].values)


def _shares(result: xr.Dataset) -> Intervals:
    n_units = result.sizes["unit"]
    low, high = (float(stats.binom.ppf(q, n_units, CHANCE)) / n_units for q in (0.025, 0.975))
    rows = [
        Interval(name=str(test), value=float(share), low=float(share), high=float(share))
        for test, share in zip(result["test"].values, result["found"].values, strict=True)
        if np.isfinite(share)
    ]
    chance = Interval(
        name="by chance, if units were independent", value=CHANCE, low=low, high=high, role="null"
    )
    return Intervals(
        title=f"Share of {n_units} units found by each test",
        x_label="share of units with p at most 0.05 against all surrogates (1)",
        intervals=[*rows, chance],
        caption=caption(
            "Share of units in which each test finds recurrence that the surrogates lack",
            n=_n(result),
            interval="95 % of the binomial distribution of the null model",
            null="chance",
        ),
        interpretation=(
            "Units trace unstable periodic orbits only if the transform at both embeddings and the "
            "encounters find far more units than chance does."
        ),
    )


def _peak(result: xr.Dataset) -> Lines:
    """The unit and the transform that exceed the nearer of the two surrogates most."""
    heights = result["transform_height"].min("surrogate").fillna(-np.inf)
    embedding, period, unit = np.unravel_index(int(heights.values.argmax()), heights.shape)
    at = {"embedding": embedding, "period": period, "unit": unit}
    levels = result["level"].values
    series = [Series(name="recording", x=levels, y=result["transform"].isel(at).values)]
    for kind in result["surrogate"].values:
        surrogate = result.sel(surrogate=kind).isel(at)
        mean, deviation = (
            surrogate[f"surrogate_transform_{word}"].values for word in ("mean", "deviation")
        )
        name = f"{str(kind).replace('_', ' ')}, mean ± 2 deviations"
        series.append(null_series(name, deviation_band(mean, deviation), x=levels))
    return Lines(
        title=f"Transformed points of unit {result['unit'].values[unit]}",
        x_label="level (robust standard deviations from the unit's median)",
        y_label="unstable points per trace and level (count)",
        series=series,
        caption=caption(
            "Number of points at which the local linear maps of a unit's traces have an unstable "
            "fixed point, of the unit that exceeds its surrogates most (embedding "
            f"{result['embedding'].values[embedding]}, period {result['period'].values[period]})",
            n=_n(result),
            interval="two standard deviations of surrogates, at each level by itself",
            null=_surrogates(result),
        ),
        interpretation=(
            "An unstable periodic orbit is a narrow peak well above both bands and above the peaks "
            "of any surrogate, for this unit was chosen as the most prominent of many."
        ),
    )


def _returns(result: xr.Dataset) -> Lines:
    times = result["time"].values
    series = [Series(name="recording", x=times, y=result["returns"].mean("unit").values)]
    for kind in result["surrogate"].values:
        mean = result["surrogate_returns_mean"].sel(surrogate=kind).mean("unit").values
        name = str(kind).replace("_", " ")
        series.append(Series(name=name, x=times, y=mean, role="null"))
    return Lines(
        title="Close returns by time of return",
        x_label="time of return (sites)",
        y_label="close returns over their mean over times (%)",
        series=series,
        caption=caption(
            "Number of close returns of a unit's trace by their time, mean over units",
            n=_n(result),
            null=_surrogates(result),
        ),
        interpretation=(
            "Orbits of one period raise that time of return, and its multiples, above steps of the "
            "same sizes and above linear noise of the same spectrum."
        ),
    )


def _growth(result: xr.Dataset) -> Histogram:
    null = result["growth_surrogate"].values
    return Histogram(
        title="Outward growth in the plane of activation and gradient",
        x_label="slope of ln radius over the angle covered clockwise (1 per radian)",
        groups=[
            Group(name="recording, mean over samples", values=result["growth"].values),
            Group(name=SIGN_FLIPS, values=null, role="null"),
        ],
        y_label="share of units per bin (1)",
        caption=caption(
            "Rate at which the path of a unit spirals outwards, mean over samples",
            n=_n(result),
            null=SIGN_FLIPS,
        ),
        interpretation=(
            "Repelling orbits grow faster than paths with steps of the same sizes and random "
            "signs, since steps that grow over depth widen any path."
        ),
    )
