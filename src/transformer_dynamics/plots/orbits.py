"""Figures of the tests for unstable periodic orbits: what was found, where, and against what."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy import stats

from transformer_dynamics.measures.orbits.turns import over_traces, tangent_turns
from transformer_dynamics.plots.backend import (
    Drawing,
    Group,
    Heatmap,
    Histogram,
    Interval,
    Intervals,
    Lines,
    Path,
    Paths,
    Series,
)
from transformer_dynamics.registry import figure

CHANCE = 0.05
PORTRAIT_QUANTILES = np.array([0.0, 0.5, 1.0])
ACTIVATION_LABEL = "activation (stream units)"


@figure("orbits.periodic_orbits")
def draw_periodic_orbits(result: xr.Dataset) -> list[Drawing]:
    """Shares of units found, the highest peak, close returns, outward growth."""
    return [_shares(result), _peak(result), _returns(result), _growth(result)]


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
        caption="In which share of units each test finds recurrence that its surrogates lack.",
        interpretation=(
            "For units to trace unstable periodic orbits, the transform at both embeddings and the "
            "encounters would have to find far more units than chance does."
        ),
    )


def _peak(result: xr.Dataset) -> Lines:
    """The unit and the transform that stand out most from the nearer of the two surrogates."""
    heights = result["transform_height"].min("surrogate").fillna(-np.inf)
    embedding, period, unit = np.unravel_index(int(heights.values.argmax()), heights.shape)
    at = {"embedding": embedding, "period": period, "unit": unit}
    levels = result["level"].values
    series = [Series(name="recording", x=levels, y=result["transform"].isel(at).values)]
    for kind in result["surrogate"].values:
        one = result.sel(surrogate=kind).isel(at)
        mean, deviation = (
            one[f"surrogate_transform_{word}"].values for word in ("mean", "deviation")
        )
        series.append(
            Series(
                name=f"{str(kind).replace('_', ' ')}, mean ± 2 deviations",
                x=levels,
                y=mean,
                low=mean - 2 * deviation,
                high=mean + 2 * deviation,
                role="null",
            )
        )
    return Lines(
        title=(
            f"Transformed points of unit {result['unit'].values[unit]}, which stands out most "
            f"(embedding {result['embedding'].values[embedding]}, "
            f"period {result['period'].values[period]})"
        ),
        x_label="level (robust standard deviations from the unit's median)",
        y_label="unstable points per trace and level (count)",
        series=series,
        caption="Where the local linear maps of a unit's traces would stay, and stay unstably.",
        interpretation=(
            "An unstable periodic orbit would be a narrow peak well above both bands, as no "
            "surrogate has at any level: bands hold level by level, each surrogate may have peaks "
            "of its own, and this unit is the most prominent of many."
        ),
    )


def _returns(result: xr.Dataset) -> Lines:
    times = result["time"].values
    series = [Series(name="recording", x=times, y=result["returns"].mean("unit").values)]
    series += [
        Series(
            name=str(kind).replace("_", " "),
            x=times,
            y=result["surrogate_returns_mean"].sel(surrogate=kind).mean("unit").values,
            role="null",
        )
        for kind in result["surrogate"].values
    ]
    return Lines(
        title="Close returns by time of return, mean over units",
        x_label="time of return (sites)",
        y_label="close returns over their mean over times (%)",
        series=series,
        caption="After how many sites traces are again where they were, and after how many rarely.",
        interpretation=(
            "Orbits of one period would raise that time of return, and its multiples, above what "
            "steps of the same sizes and linear noise of the same spectrum give."
        ),
    )


def _growth(result: xr.Dataset) -> Histogram:
    return Histogram(
        title="Outward growth in the plane of activation and gradient, per unit",
        x_label="slope of ln radius over the angle covered clockwise (1 per radian)",
        groups=[
            Group(name="recording, mean over samples", values=result["growth"].values),
            Group(
                name="sign-flipped increments",
                values=result["growth_surrogate"].values,
                role="null",
            ),
        ],
        y_label="share of units per bin (1)",
        caption="How fast the paths of single units spiral outwards, if they do.",
        interpretation=(
            "Orbits that repel would grow faster than paths whose steps have the same sizes and "
            "random signs: steps that grow over depth widen any path."
        ),
    )


@figure("orbits.rotation_counts")
def draw_rotations(result: xr.Dataset) -> list[Drawing]:
    """Histograms of the magnitudes of the counts, over units and over single samples."""
    walk = abs(result["random_walk_count"].item())
    mean_traces = np.abs(result["rotation_count"].values)
    single = np.abs(result["rotation_count_per_sample"].values.ravel())
    return [
        Histogram(
            title=f"Turns of single units over depth (a Gaussian random walk makes {walk:.2f})",
            x_label="magnitude of the rotation count (turns)",
            groups=[
                Group(name="traces averaged over samples", values=mean_traces),
                Group(name="traces of single samples", values=single, role="detail"),
            ],
            caption="How often units turn in the plane of activation and gradient over depth.",
            interpretation=(
                "For orbits, units would have to come back to the same points; a count of turns "
                "near the random walk's is what any sum of independent steps gives."
            ),
        )
    ]


@figure("orbits.phase_portrait")
def draw_phase_portrait(result: xr.Dataset) -> list[Drawing]:
    """Paths of a few units, from few turns to many, then all mean traces as a heat map."""
    activation, gradient = result["activation"].values, result["gradient"].values
    turns = np.abs(over_traces(tangent_turns, activation.T))
    defined = np.flatnonzero(np.isfinite(turns))
    ascending = defined[np.argsort(turns[defined], kind="stable")]
    places = np.round(PORTRAIT_QUANTILES * (ascending.size - 1)).astype(int)
    chosen = ascending[np.unique(places)] if ascending.size else ascending
    names = [str(site) for site in result["site"].values]
    paths = [
        Path(
            name=f"unit {unit}: {turns[unit]:.1f} turns",
            points=np.column_stack([activation[:, unit], gradient[:, unit]]),
            labels=names,
        )
        for unit in chosen
    ]
    return [
        Paths(
            title="Phase portraits of units at even quantiles of their rotation count",
            x_label=ACTIVATION_LABEL,
            y_label="gradient (stream units per site)",
            paths=paths,
            caption="Mean traces of a few units with their gradients, from few turns to many.",
            interpretation="For orbits the curves would have to close and repeat, not only turn.",
        ),
        Heatmap(
            title="Mean trace of every unit (end colors: beyond the 99th percentile)",
            x_label="site (label)",
            y_label="unit (rank by its value at the last site)",
            color_label=ACTIVATION_LABEL,
            values=activation[:, np.argsort(activation[-1], kind="stable")].T,
            x_names=names,
            caption="The trace of every unit, averaged over samples.",
            interpretation=(
                "Continuity of single units would show as horizontal bands; a walk has them."
            ),
        ),
    ]
