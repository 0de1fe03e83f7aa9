"""C8: perturbed states converge towards the unperturbed trajectory in a band of layers.

The last token's state is displaced at every layer and followed (`perturbation.recovery`). Ratio:
distance to the unperturbed trajectory after 12 sublayers over the initial distance, both absolute
and in all dimensions. Band: the run of layers with the largest total contraction on one half of the
texts; the statistic is the geometric mean ratio over the band on the other half.

    C8 random directions       C8-shift within the plane of two principal components
    C8-grid the paper's grid   C8-towards towards the states of other texts

Source: arXiv 2502.12131 for the grid and the horizon; random directions, band and halves ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.claims.c8_figures import KINDS, draw_of
from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.perturbation.states.contracting_band import contracting_band
from transformer_dynamics.plots.backend.bands import bootstrap_band

SIZE = 1.0
HORIZONS = ("12", "6", "2")
ZERO_UPDATE = "keeps the unperturbed trajectory and has layers that ignore the displacement"
SOURCE = (
    "arXiv 2502.12131: states injected at layers 7, 15 and 23 of 32 converge over 12 sublayers, "
    "those at 0 and 31 do not; no numbers"
)


def horizon_of(result: xr.Dataset) -> str:
    """The longest horizon, at most 12 sublayers, that half of the layers have before the end."""
    n_sublayers = result.sizes["site"] - 1
    fitting = [name for name in HORIZONS if int(name) <= n_sublayers // 2]
    return fitting[0] if fitting else HORIZONS[-1]


def halves(n_samples: int) -> tuple[slice, slice]:
    """Samples that the band is found on, and samples that the ratio is measured on."""
    return slice(0, n_samples // 2), slice(n_samples // 2, n_samples)


def log_ratios(result: xr.Dataset, kind: str, horizon: str | None = None) -> Floats:
    """Log ratio for displacements of the spread between texts, `(sample, start)`."""
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
    defined = np.all(np.isfinite(profile).any(axis=2), axis=1)
    return np.where(defined & inside.any(axis=1), mean, np.nan)


def coords(result: xr.Dataset) -> dict[str, object]:
    """Halves of the texts and layers of injection."""
    return {"half": ["found on", "measured on"], "start": result["start"].values}


def illustration_of(kind: str) -> Callable[[xr.Dataset], xr.DataArray]:
    """Log ratio by layer of injection and horizon, mean over texts, `(start, horizon)`."""

    def illustration(result: xr.Dataset) -> xr.DataArray:
        chosen = result["log_ratio"].sel(kind=kind, size=SIZE)
        mean = chosen.mean("sample").transpose("start", "horizon").values
        labels = {dim: result[dim].values for dim in ("start", "horizon")}
        return xr.DataArray(mean, dims=("start", "horizon"), coords=labels)

    return illustration


def note_of(kind: str) -> Callable[[xr.Dataset, xr.Dataset], str]:
    """Give the band, the ratio by layer and size, and the contrast between halves of the depth."""

    def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
        starts, ratios = evidence["start"].values, log_ratios(result, kind)
        (first,), (last,) = contracting_band(evidence["profile"].values[:1])
        by_layer = np.exp(defined_mean(ratios.T))
        sizes = [
            f"{np.exp(mean):.3g} at {size:g}"
            for size, mean in _by_size(result, kind, slice(first, last + 1)).items()
        ]
        return (
            f"The band found on {halves(len(ratios))[0].stop} texts is {starts[first]} to "
            f"{starts[last]}; the horizon is {horizon_of(result)} sublayers. Over all texts the "
            f"ratio is smallest, {np.nanmin(by_layer):.3g}, for injection at "
            f"{starts[np.nanargmin(by_layer)]}. Mean log ratio of the lower half of the layers "
            f"minus the upper half: {_contrast(result, ratios)}. Ratio in the band by size of the "
            f"displacement, in units of the spread between texts: {', '.join(sizes)}."
        )

    return note


def _by_size(result: xr.Dataset, kind: str, starts: slice) -> dict[float, float]:
    chosen = result["log_ratio"].sel(kind=kind, horizon=horizon_of(result)).isel(start=starts)
    means = chosen.mean(["sample", "start"])
    return {float(size): float(means.sel(size=size)) for size in means["size"].values}


def _contrast(result: xr.Dataset, ratios: Floats) -> str:
    """Lower minus upper half of the depth, mean over texts with its 95 % bootstrap interval."""
    middle = ratios.shape[1] // 2
    difference = defined_mean(ratios[:, :middle]) - defined_mean(ratios[:, middle:])
    by_text = xr.zeros_like(result["text"], dtype=np.float64).copy(data=difference)
    if not np.isfinite(by_text).all():
        return "not defined"
    mean, low, high = (float(each) for each in bootstrap_band(by_text))
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def _claim(claim_id: str, kind: str, **changes: Any) -> Claim:
    given: Mapping[str, Any] = {
        "id": claim_id,
        "statement": (
            f"States perturbed {KINDS[kind]} converge towards the unperturbed trajectory in a band "
            "of layers."
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
        "note": note_of(kind),
        "draw": draw_of(kind),
    }
    return Claim(**{**given, **changes}).register()


CLAIM = _claim(
    "C8",
    "random",
    statement="Perturbed states converge towards the unperturbed trajectory in a band of layers.",
)
GRID = _claim(
    "C8-grid",
    "grid",
    caveat=(
        "The grid erases all components off the plane, so that all perturbed states share the mean "
        "state; the ratio includes the return of these components."
    ),
)
SHIFT = _claim("C8-shift", "shift")
TOWARDS = _claim("C8-towards", "towards")
