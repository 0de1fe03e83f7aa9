"""Figures of `perturbation.recovery`: by layer and horizon, by layer, by size, at the readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.model.labels import parse
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.systems import UNTRAINED, ZERO_UPDATE
from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Role, Series
from transformer_dynamics.plots.perturbation import banded
from transformer_dynamics.registry import figure

UNIT_SIZE = 1.0
LAYER = "layer of injection (index)"
KIND_NAMES = {
    "grid": "paper's grid, state replaced",
    "shift": "directions in the plane",
    "random": "random directions",
    "towards": "towards other texts",
}
# A factor of two ends the color scale, unless nearly all ratios are closer to one.
MOST = float(np.log(2.0))


@figure("perturbation.recovery")
def draw_recovery(result: xr.Dataset) -> list[Drawing]:
    """Heat maps by layer and horizon, ratios by layer and by size, readout, Jacobians."""
    horizon = shown_horizon(result)
    drawings: list[Drawing] = [*depth_maps(result)]
    drawings += [by_layer(result, kind, horizon) for kind in result["kind"].values.tolist()]
    drawings += [by_horizon(result), by_size(result, horizon)]
    if "kl_ratio" in result:
        drawings.append(readout(result))
    if result["contracting_share"].notnull().any():
        drawings.append(contracting(result))
    return drawings


def shown_horizon(result: xr.Dataset) -> str:
    """The longest horizon that half of the depth has room for; the last site where none has."""
    half = (result.sizes["site"] - 1) // 2
    names = result["horizon"].values.tolist()
    fitting = [name for name in names if name.isdigit() and int(name) <= half]
    return str((fitting or names)[-1])


def depth_maps(result: xr.Dataset) -> list[Heatmap]:
    """Mean log ratio by layer of injection and horizon, of the model by kind and of the twins."""
    names, kinds = result["system"].values.tolist(), result["kind"].values.tolist()
    paths = result["log_ratio_path"]
    shown = {(names[0], kind): paths.sel(system=names[0], kind=kind) for kind in kinds}
    twins = _twins(result)
    if twins:
        kind = _leading_kind(kinds)
        title = f"{len(twins)} untrained networks"
        shown[title, kind] = paths.sel(system=twins, kind=kind).mean("system")
    maps = {key: _by_horizon(values) for key, values in shown.items()}
    finite = np.abs(np.concatenate([values[np.isfinite(values)] for values in maps.values()]))
    limit = min(MOST, float(np.percentile(finite, 95))) if finite.size else MOST
    n_layers = result.sizes["start"]
    layers = [str(_layer(start)) for start in result["start"].values]
    step = max(1, n_layers // 10)
    return [
        Heatmap(
            title=f"By layer and horizon: {system}, {KIND_NAMES[kind]}",
            x_label="horizon (sublayers after the injection)",
            y_label=LAYER,
            color_label="ln(distance / initial distance) (nats), mean over texts",
            values=values,
            y_ticks=[(place, layers[place]) for place in range(0, n_layers, step)],
            limit=limit or MOST,
            caption=(
                f"Displacements of size 1, the spread between texts; {_n_texts(result)}. Blue "
                "shrinks, red grows, white stays as it is, as zero update does throughout; beyond "
                f"{np.exp(limit or MOST):.2g}-fold one color; gray lies beyond the last site."
            ),
            interpretation=(
                "A contracting band is a blue strip in the model that the untrained networks lack."
            ),
        )
        for (system, kind), values in maps.items()
    ]


def _by_horizon(paths: xr.DataArray) -> Floats:
    """Values `(start, site)` as `(start, horizon)`, NaN beyond the last site."""
    sites = paths["site"].values.tolist()
    moved = np.full((paths.sizes["start"], len(sites)), np.nan)
    for row, path in zip(moved, paths.transpose("start", "site"), strict=True):
        first = sites.index(str(path["start"].values))
        row[: len(sites) - first] = path.values[first:]
    firsts = [sites.index(str(start)) for start in paths["start"].values]
    return moved[:, : len(sites) - min(firsts)]


def by_layer(result: xr.Dataset, kind: str, horizon: str) -> Lines:
    """The ratio after one horizon by layer: model, untrained networks, zero update."""
    chosen = result["log_ratio"].sel(kind=kind, size=UNIT_SIZE, horizon=horizon)
    series = _against_nulls(result, chosen)
    if kind == "random" and horizon == "12":
        name = result["system"].values.tolist()[0]
        linear = result["jvp_log_ratio"].sel(system=name)
        series.insert(1, _banded(linear, f"{name}, infinitesimal (Jacobian)", "detail"))
    return Lines(
        title=f"Distance left {_after(horizon)}: {KIND_NAMES[kind]}",
        x_label=LAYER,
        y_label="distance / initial distance (1)",
        series=series,
        y_scale="log",
        caption=(
            f"Displacements of size 1, geometric mean; {_n_texts(result)}. Band: 95 % bootstrap "
            "over texts for the model, range over seeds for the untrained networks."
        ),
        interpretation=(
            "Contraction brings the model below 1, the value of zero update, and below the "
            "untrained networks."
        ),
    )


def by_horizon(result: xr.Dataset) -> Lines:
    """The ratio by layer for every horizon, of the model by kind."""
    names, kinds = result["system"].values.tolist(), result["kind"].values.tolist()
    chosen = result["log_ratio"].sel(system=names[0], size=UNIT_SIZE)
    series = [
        replace(
            _banded(
                chosen.sel(kind=kind, horizon=horizon), f"{_after(horizon)}, {KIND_NAMES[kind]}"
            ),
            hidden=kind != _leading_kind(kinds),
        )
        for kind in kinds
        for horizon in result["horizon"].values.tolist()
    ]
    return Lines(
        title="Distance left by horizon",
        x_label=LAYER,
        y_label="distance / initial distance (1)",
        series=[*series, _zero_update(result)],
        y_scale="log",
        caption=(
            "Displacements of size 1, geometric mean with a 95 % bootstrap band over texts; "
            f"{_n_texts(result)}. Other kinds are in the legend."
        ),
        interpretation="Contraction at a layer brings the ratio below 1 after the first sublayers.",
    )


def by_size(result: xr.Dataset, horizon: str) -> Lines:
    """The ratio after one horizon by layer for every size and kind, of the model."""
    names, kinds = result["system"].values.tolist(), result["kind"].values.tolist()
    chosen = result["log_ratio"].sel(system=names[0], horizon=horizon)
    series = [
        replace(
            _banded(chosen.sel(kind=kind, size=size), f"size {size:g}, {KIND_NAMES[kind]}"),
            hidden=kind != _leading_kind(kinds),
        )
        for kind in kinds
        for size in result["size"].values.tolist()
    ]
    return Lines(
        title=f"Distance left {_after(horizon)}, by size of the displacement",
        x_label=LAYER,
        y_label="distance / initial distance (1)",
        series=[*series, _zero_update(result)],
        y_scale="log",
        caption=(
            "Sizes in units of the spread between texts, geometric mean with a 95 % bootstrap band "
            f"over texts; {_n_texts(result)}. Other kinds are in the legend."
        ),
        interpretation="A linear answer would be the same for all sizes.",
    )


def readout(result: xr.Dataset) -> Lines:
    """KL over that of zero update by layer, of the model by kind and of the untrained networks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = result["kl_ratio"].copy(data=np.log(result["kl_ratio"].values))
    series = []
    for kind in result["kind"].values.tolist():
        model, *others = _against_nulls(result, logs.sel(kind=kind))
        series.append(replace(model, name=f"{model.name}, {KIND_NAMES[kind]}"))
        series += [
            replace(each, name=f"{each.name}, {KIND_NAMES[kind]}", hidden=True)
            for each in others[:-1]
        ]
    return Lines(
        title="Change of the prediction over that of an unchanged displacement",
        x_label=LAYER,
        y_label="KL / KL of zero update (1)",
        series=[*series, _zero_update(result)],
        y_scale="log",
        caption=(
            "KL of the unperturbed next-token distribution from the perturbed one, over that with "
            "the same displacement added to the final state; size 1, geometric mean with a 95 % "
            f"bootstrap band over texts; {_n_texts(result)}."
        ),
        interpretation="Correction of what the prediction reads brings the ratio below 1.",
    )


def contracting(result: xr.Dataset) -> Lines:
    """Share of the directions that the Jacobian over 12 sublayers contracts, by text."""
    shares = result["contracting_share"]
    some = shares.isel(sample=shares.notnull().any("start").values)
    return Lines(
        title="Share of directions that the Jacobian over 12 sublayers contracts",
        x_label=LAYER,
        y_label="share of singular values below 1 (1)",
        series=[
            Series(name=f"text {int(row['text'])}", x=_layers(result), y=row.values)
            for row in some.transpose("sample", "start")
        ],
        caption=f"The model's answer to infinitesimal displacements; N = {some.sizes['sample']}.",
        interpretation="A contracting band has more than half of the directions below 1.",
    )


def _against_nulls(result: xr.Dataset, logs: xr.DataArray) -> list[Series]:
    """Log values `(system, sample, start)` of the model, mean of the twins, and zero update."""
    name = result["system"].values.tolist()[0]
    series = [_banded(logs.sel(system=name), name)]
    twins = _twins(result)
    if twins:
        means = logs.sel(system=twins).mean("sample").transpose("system", "start").values
        series.append(
            Series(
                name=f"{len(twins)} untrained networks" if len(twins) > 1 else UNTRAINED,
                x=_layers(result),
                y=np.exp(means.mean(axis=0)),
                low=np.exp(means.min(axis=0)),
                high=np.exp(means.max(axis=0)),
                role="null",
            )
        )
    return [*series, _zero_update(result)]


def _banded(logs: xr.DataArray, name: str, role: Role = "model") -> Series:
    """Exponential of the mean over texts of `(sample, start)`, with its band."""
    starts = logs["start"].values.tolist()
    layers = np.array([_layer(start) for start in starts])
    return banded(logs, name, starts, role=role, x=layers, logs=True)


def _zero_update(result: xr.Dataset) -> Series:
    layers = _layers(result)
    return Series(
        name=ZERO_UPDATE.replace("_", " "), x=layers, y=np.ones(len(layers)), role="reference"
    )


def _twins(result: xr.Dataset) -> list[str]:
    return [name for name in result["system"].values.tolist() if name.startswith(UNTRAINED)]


def _leading_kind(kinds: Sequence[str]) -> str:
    return "random" if "random" in kinds else kinds[0]


def _layer(start: str) -> int:
    return parse(start)[0]


def _layers(result: xr.Dataset) -> Floats:
    return np.array([float(_layer(start)) for start in result["start"].values])


def _after(horizon: str) -> str:
    return f"after {horizon} sublayers" if horizon.isdigit() else "at the last site"


def _n_texts(result: xr.Dataset) -> str:
    twins = _twins(result)
    text = f"N = {result.sizes['sample']} texts"
    if not twins:
        return text
    followed = result["log_ratio"].sel(system=twins[0]).notnull()
    dims = [dim for dim in followed.dims if dim != "sample"]
    return f"{text} for the model, {int(followed.any(dims).sum())} for each untrained network"
