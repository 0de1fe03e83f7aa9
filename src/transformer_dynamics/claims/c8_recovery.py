"""C8: attractor-like dynamics: the stream reduces a displacement, locally in depth.

The last token's state is displaced at every layer and followed (`perturbation.recovery`). The ratio
is the distance to the unperturbed trajectory after 12 sublayers, the horizon that arXiv 2502.12131
draws, over the distance where the state was displaced:

    C8           random directions
    C8-grid      the paper's grid, which replaces the state and erases all that lies off the plane
    C8-shift     within the plane, the rest of the state kept
    C8-towards   towards the states of other texts
    C8-end       random directions, ratio at the last site instead of after 12 sublayers
    C8-readout   KL of the next-token distribution, over that of an unchanged displacement

The band is the run of layers with the largest total contraction on one half of the texts; the
statistic is the geometric mean ratio over this band on the other half, so that choosing the band
costs nothing. Each null finds its own band.

Distances are absolute and in all dimensions: a growing norm cannot reduce them. A control that
ignores the displacement (zero update) keeps the ratio 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.perturbation.states.contracting_band import contracting_band
from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Series
from transformer_dynamics.plots.backend.bands import bootstrap_band

SIZE = 1.0
HORIZONS = ("12", "6", "2")
KINDS = {
    "random": "in random directions",
    "grid": "of the paper's grid in the plane of two principal components",
    "shift": "within the plane of two principal components",
    "towards": "towards the states of other texts",
}
ZERO_UPDATE = "it has the unperturbed trajectory, and layers that ignore the displacement"
SOURCE = (
    "arXiv 2502.12131: states injected at layers 7, 15 and 23 of 32 converge over 12 sublayers, "
    "those at 0 and 31 do not; no numbers"
)


def horizon_of(result: xr.Dataset) -> str:
    """The longest horizon, 12 sublayers at most, that half of the layers have before the end."""
    n_sublayers = result.sizes["site"] - 1
    fitting = [name for name in HORIZONS if int(name) <= n_sublayers // 2]
    return fitting[0] if fitting else HORIZONS[-1]


def halves(n_samples: int) -> tuple[slice, slice]:
    """Samples that the band is found on, and those that the ratio is measured on."""
    return slice(0, n_samples // 2), slice(n_samples // 2, n_samples)


def log_ratios(result: xr.Dataset, kind: str, horizon: str | None = None) -> Floats:
    """Log ratio at the size of the spread between texts, `(sample, start)`."""
    chosen = result["log_ratio"].sel(kind=kind, horizon=horizon or horizon_of(result))
    ratios: Floats = chosen.sel(size=SIZE).transpose("sample", "start").values
    return ratios


def profile_of(kind: str) -> Callable[[xr.Dataset, Floats], Floats]:
    """Mean log ratio of each half of the texts by the layer of injection, `(draw, half, start)`."""

    def profile(result: xr.Dataset, weights: Floats) -> Floats:
        ratios = log_ratios(result, kind)
        means = []
        for half in halves(len(ratios)):
            own = weights[:, half]
            with np.errstate(invalid="ignore", divide="ignore"):
                means.append((own / own.sum(axis=1, keepdims=True)) @ ratios[half])
        return np.stack(means, axis=1)

    return profile


def summary(profile: Floats) -> Floats:
    """Geometric mean ratio on one half over the band found on the other, `(draw)`.

    NaN for a draw that holds no text of one half.
    """
    first, last = contracting_band(profile[:, 0])
    starts = np.arange(profile.shape[-1])
    inside = (starts >= first[:, np.newaxis]) & (starts <= last[:, np.newaxis])
    inside &= np.isfinite(profile[:, 1])
    with np.errstate(invalid="ignore"):
        total = np.where(inside, profile[:, 1], 0.0).sum(axis=1)
        mean: Floats = np.exp(total / inside.sum(axis=1))
    found = np.all(np.isfinite(profile).any(axis=2), axis=1)
    return np.where(found & inside.any(axis=1), mean, np.nan)


def coords(result: xr.Dataset) -> dict[str, object]:
    """Halves of the texts, layers of injection, horizons."""
    return {
        "half": ["found on", "measured on"],
        "start": result["start"].values,
        "horizon": result["horizon"].values,
    }


def illustration_of(kind: str) -> Callable[[xr.Dataset], Floats]:
    """Log ratio by layer of injection and horizon, mean over texts, `(start, horizon)`."""

    def illustration(result: xr.Dataset) -> Floats:
        chosen = result["log_ratio"].sel(kind=kind, size=SIZE)
        mean: Floats = chosen.mean("sample").transpose("start", "horizon").values
        return mean

    return illustration


def note_of(kind: str) -> Callable[[xr.Dataset, xr.Dataset], str]:
    """The band, the ratio by layer and size, and the contrast between halves of the depth."""

    def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
        starts, horizon = evidence["start"].values, horizon_of(result)
        (first,), (last,) = contracting_band(evidence["profile"].values[:1])
        ratios = log_ratios(result, kind)
        lower, upper = ratios[:, : len(starts) // 2], ratios[:, len(starts) // 2 :]
        contrast = xr.zeros_like(result["text"], dtype=np.float64).copy(
            data=defined_mean(lower) - defined_mean(upper)
        )
        below = np.exp(defined_mean(ratios.T))
        sizes = [
            f"{float(np.exp(by_size)):.3g} at {float(size):g}"
            for size, by_size in _by_size(result, kind, slice(first, last + 1)).items()
        ]
        return (
            f"The band found on {halves(len(ratios))[0].stop} texts is {starts[first]} to "
            f"{starts[last]}; the horizon is {horizon} sublayers. Over all texts the ratio is "
            f"lowest, {np.nanmin(below):.3g}, for injection at {starts[np.nanargmin(below)]}. "
            f"Mean log ratio of the lower half of the layers less that of the upper half: "
            f"{_with_interval(contrast)}. Ratio in the band by size of the displacement, in units "
            f"of the spread between texts: {', '.join(sizes)}."
        )

    return note


def _by_size(result: xr.Dataset, kind: str, starts: slice) -> dict[float, float]:
    chosen = result["log_ratio"].sel(kind=kind, horizon=horizon_of(result)).isel(start=starts)
    means = chosen.mean(["sample", "start"])
    return {float(size): float(means.sel(size=size)) for size in means["size"].values}


def _with_interval(values: xr.DataArray) -> str:
    """The mean over texts with its 95 % bootstrap interval."""
    if not np.isfinite(values).all():
        return "not defined"
    mean, low, high = (float(each) for each in bootstrap_band(values))
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def draw_of(kind: str) -> Callable[[xr.Dataset], list[Drawing]]:
    """Heat map of the log ratio, the ratio by layer beside its nulls, the statistic."""

    def draw(evidence: xr.Dataset) -> list[Drawing]:
        starts = [str(start) for start in evidence["start"].values]
        places = np.arange(len(starts))
        series = [
            Series(
                name=f"model, texts the band was {half}",
                x=places,
                y=np.exp(evidence["profile"].sel(half=half).values),
                low=np.exp(evidence["profile_low"].sel(half=half).values),
                high=np.exp(evidence["profile_high"].sel(half=half).values),
                labels=starts,
                role="model" if half == "measured on" else "detail",
            )
            for half in evidence["half"].values.tolist()
        ]
        for name in evidence["null"].values:
            of_null = {
                part: np.exp(evidence[part].sel(null=name, half="measured on").values)
                for part in ("null_profile", "null_low", "null_high")
            }
            series.append(
                Series(
                    name=null_name(name),
                    x=places,
                    y=of_null["null_profile"],
                    low=of_null["null_low"],
                    high=of_null["null_high"],
                    labels=starts,
                    role="null",
                )
            )
        return [
            depth_by_horizon(evidence, kind),
            Lines(
                title=f"Displacements {KINDS[kind]}: distance left after the horizon",
                x_label="layer of injection (index)",
                y_label="distance / initial distance (1)",
                series=series,
                y_scale="log",
                caption=(
                    "The distance that is left of a displacement, geometric mean over texts with "
                    "95 % over texts (untrained: over seeds)."
                ),
                interpretation=(
                    "In the band the ratio would have to lie below 1 on texts that the band was "
                    "not found on, and below the untrained network."
                ),
            ),
            statistic_intervals(evidence, "geometric mean ratio in the band (1)"),
        ]

    return draw


def depth_by_horizon(evidence: xr.Dataset, kind: str) -> Heatmap:
    """Log ratio by layer of injection and horizon, of the model and of each null."""
    maps = {"model": evidence["illustration"].values}
    for name in evidence["null"].values:
        maps[null_name(name)] = evidence["null_illustration"].sel(null=name).values
    gap = np.full((1, evidence.sizes["start"]), np.nan)
    rows: list[Floats] = []
    ticks: list[tuple[float, str]] = []
    for name, values in maps.items():
        begin = sum(len(row) for row in rows)
        ticks += [
            (begin + place, f"{name}: {horizon}")
            for place, horizon in enumerate(evidence["horizon"].values)
        ]
        rows += [values.T, gap]
    starts = [str(start) for start in evidence["start"].values]
    return Heatmap(
        title=f"Displacements {KINDS[kind]}: log ratio by layer of injection and horizon",
        x_label="layer of injection (site)",
        y_label="horizon (sublayers)",
        color_label="ln(distance / initial distance) (1)",
        values=np.concatenate(rows[:-1]),
        x_ticks=[(place, start) for place, start in enumerate(starts) if place % 3 == 0],
        y_ticks=ticks,
        caption="Where in depth displacements shrink (below 0) or grow (above 0), mean over texts.",
        interpretation="A contracting band would be negative in the model and not in the nulls.",
    )


def _claim(claim_id: str, kind: str, **changes: Any) -> Claim:
    given: Mapping[str, Any] = {
        "id": claim_id,
        "statement": (
            f"In a band of layers the stream reduces displacements {KINDS[kind]} within 12 "
            "sublayers."
        ),
        "statistic": (
            "distance to the unperturbed trajectory after 12 sublayers (or the longest horizon "
            "that half of the layers have) over the initial distance, geometric mean over the band "
            "of layers found on half of the texts, measured on the other half (1); displacements "
            "of the size of the spread between texts"
        ),
        "source": SOURCE,
        "perturbation": "perturbation.recovery",
        "profile": profile_of(kind),
        "summary": summary,
        "dims": ("half", "start"),
        "coords": coords,
        "threshold": 1.0,
        "direction": "less",
        "nulls": {"zero_update": ZERO_UPDATE, "untrained": UNTRAINED},
        "illustration": illustration_of(kind),
        "illustration_dims": ("start", "horizon"),
        "note": note_of(kind),
        "draw": draw_of(kind),
    }
    return Claim(**{**given, **changes}).register()


CLAIM = _claim("C8", "random")
GRID = _claim(
    "C8-grid",
    "grid",
    caveat=(
        "The grid erases what lies off the plane, so that all displaced states share the mean "
        "state; the ratio includes the return of what was erased."
    ),
)
SHIFT = _claim("C8-shift", "shift")
TOWARDS = _claim("C8-towards", "towards")
