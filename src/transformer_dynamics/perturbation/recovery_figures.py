"""Figures of `perturbation.recovery`: heat maps by layer and horizon, lines by layer and size."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.drawing import Drawing, Heatmap, Lines, Series
from transformer_dynamics.inference.bootstrap import percentile_interval, text_weights
from transformer_dynamics.perturbation.systems import MODEL, UNTRAINED, ZERO_UPDATE
from transformer_dynamics.residual.flow_map import Floats

SIZE = 1.0
LAYER = "layer of injection (index)"
KIND_NAMES = {
    "grid": "paper's grid, state replaced",
    "shift": "within the plane",
    "random": "random directions",
    "towards": "towards other texts",
}


def draw_recovery(result: xr.Dataset) -> list[Drawing]:
    """Where in depth displacements shrink, and what of it is linear, learned, and read out."""
    horizon = shown_horizon(result)
    drawings: list[Drawing] = [depth_by_horizon(result), by_layer(result, horizon)]
    if result.sizes["size"] > 1:
        drawings.append(by_size(result, horizon))
    if "kl_ratio" in result:
        drawings.append(readout(result))
    return drawings


def shown_horizon(result: xr.Dataset) -> str:
    """The longest horizon that half of the layers have before the end."""
    n_sublayers = result.sizes["site"] - 1
    names = [str(name) for name in result["horizon"].values]
    fitting = [name for name in names if name.isdigit() and int(name) <= n_sublayers // 2]
    return fitting[-1] if fitting else names[0]


def depth_by_horizon(result: xr.Dataset) -> Heatmap:
    """Mean log ratio by layer of injection and horizon: model by kind, and the untrained twins."""
    chosen = result["log_ratio"].sel(size=SIZE)
    names = result["system"].values.tolist()
    twins = [name for name in names if name.startswith(UNTRAINED)]
    maps = {
        KIND_NAMES[kind]: chosen.sel(system=names[0], kind=kind).mean("sample")
        for kind in result["kind"].values.tolist()
    }
    if twins:
        last = result["kind"].values.tolist()[-1]
        shown = "random" if "random" in result["kind"].values else last
        mean = chosen.sel(system=twins, kind=shown).mean(["system", "sample"])
        maps[f"untrained, {KIND_NAMES[shown]}"] = mean
    horizons = result["horizon"].values.tolist()
    gap = np.full((1, result.sizes["start"]), np.nan)
    rows: list[Floats] = []
    ticks: list[tuple[float, str]] = []
    for title, values in maps.items():
        begin = sum(len(row) for row in rows)
        ticks += [(begin + place, f"{title}: {name}") for place, name in enumerate(horizons)]
        rows += [values.transpose("horizon", "start").values, gap]
    return Heatmap(
        title="Displacements over depth: ln of distance left over initial distance, mean over "
        f"{result.sizes['sample']} texts",
        x_label=LAYER,
        y_label="horizon (sublayers)",
        colour_label="ln(distance / initial distance) (1)",
        values=np.concatenate(rows[:-1]),
        y_ticks=ticks,
        shows="Displacements of the size of the spread between texts: blue shrinks, red grows.",
        requires=(
            "A contracting band would be blue in the model and not in the untrained twins; a "
            "control that ignores the displacement is 0 throughout."
        ),
    )


def _band(values: Floats, name: str, role: str, *, hidden: bool = False) -> Series:
    """Exp of the mean over rows of log ratios `(row, place)`, with 95 % over rows."""
    values = values[np.isfinite(values).any(axis=1)]
    weights = text_weights(np.arange(len(values)), 499, seed=0)
    low, high = percentile_interval(weights @ values)
    return Series(
        name=name,
        x=np.arange(values.shape[1]),
        y=np.exp(values.mean(axis=0)),
        low=np.exp(low),
        high=np.exp(high),
        role="model" if role == MODEL else "null",
        hidden=hidden,
    )


def by_layer(result: xr.Dataset, horizon: str) -> Lines:
    """The ratio after the horizon by layer, of every kind, beside twins and linear prediction."""
    chosen = result["log_ratio"].sel(size=SIZE, horizon=horizon)
    names = result["system"].values.tolist()
    twins = [name for name in names if name.startswith(UNTRAINED)]
    series = []
    for kind in result["kind"].values.tolist():
        of_kind = chosen.sel(kind=kind)
        series.append(
            _band(of_kind.sel(system=names[0]).values, f"model, {KIND_NAMES[kind]}", MODEL)
        )
        if twins:
            means = of_kind.sel(system=twins).mean("sample").values
            title = f"{len(twins)} untrained, {KIND_NAMES[kind]}"
            series.append(_band(means, title, UNTRAINED, hidden=kind != "random"))
    linear = result["linear_log_ratio"].sel(system=names[0]).values
    if horizon == "12" and np.isfinite(linear).any():
        series.append(_band(linear, "model, Jacobian along random directions", "detail"))
    places = np.arange(result.sizes["start"])
    series.append(
        Series(
            name=ZERO_UPDATE.replace("_", " "), x=places, y=np.ones(places.size), role="reference"
        )
    )
    return Lines(
        title=f"Distance left of a displacement after {horizon} sublayers, geometric mean",
        x_label=LAYER,
        y_label="distance / initial distance (1)",
        series=series,
        y_scale="log",
        shows="95 % over texts for the model, over seeds for the untrained twins.",
        requires="Correction would bring the model below 1 and below the untrained twins.",
    )


def by_size(result: xr.Dataset, horizon: str) -> Lines:
    """The ratio after the horizon by layer for every size, random directions where there are."""
    kinds = result["kind"].values.tolist()
    kind = "random" if "random" in kinds else kinds[0]
    model = result["system"].values.tolist()[0]
    chosen = result["log_ratio"].sel(kind=kind, horizon=horizon, system=model)
    return Lines(
        title=f"The same by size of the displacement, {KIND_NAMES[kind]}",
        x_label=LAYER,
        y_label="distance / initial distance (1)",
        series=[
            _band(chosen.sel(size=size).values, f"{size:g} of the spread between texts", MODEL)
            for size in result["size"].values.tolist()
        ],
        y_scale="log",
        shows="Whether small and large displacements share their fate; 95 % over texts.",
        requires="A linear answer would be the same for all sizes.",
    )


def readout(result: xr.Dataset) -> Lines:
    """KL over that of zero update by layer, for every kind."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = result["kl_ratio"].copy(data=np.log(result["kl_ratio"].values))
    names = result["system"].values.tolist()
    twins = [name for name in names if name.startswith(UNTRAINED)]
    series = []
    for kind in result["kind"].values.tolist():
        of_kind = logs.sel(kind=kind)
        series.append(
            _band(of_kind.sel(system=names[0]).values, f"model, {KIND_NAMES[kind]}", MODEL)
        )
        if twins:
            means = of_kind.sel(system=twins).mean("sample").values
            title = f"{len(twins)} untrained, {KIND_NAMES[kind]}"
            series.append(_band(means, title, UNTRAINED, hidden=True))
    return Lines(
        title="Effect of a displacement on the next token over that of zero update",
        x_label=LAYER,
        y_label="KL / KL of zero update (1)",
        series=series,
        y_scale="log",
        shows=(
            "KL from the unperturbed prediction, over the KL of the same displacement added to the "
            "last site; geometric mean, 95 % over texts."
        ),
        requires="Correction of what is read out would bring the ratio below 1.",
    )
