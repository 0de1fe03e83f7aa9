"""Figures of `perturbation.recovery`: by layer and horizon, by size, at the readout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, caption
from transformer_dynamics.plots.perturbation.displacements import (
    KIND_NAMES,
    LAYER,
    RATIO,
    after,
    against_nulls,
    layers,
    leading_kind,
    model_line,
    shown_horizon,
    zero_update,
)
from transformer_dynamics.plots.perturbation.recovery_maps import depth_maps
from transformer_dynamics.plots.perturbation.systems import n_texts
from transformer_dynamics.registry import figure

UNIT_SIZE = 1.0
# Horizon, in sublayers, of the Jacobians in the result.
JACOBIAN_HORIZON = "12"
SPREAD = f"{BOOTSTRAP}; for the untrained networks the range over seeds"


@figure("perturbation.recovery")
def draw_recovery(result: xr.Dataset) -> list[Drawing]:
    """Draw heat maps by layer and horizon, ratios by layer and by size, readout, and Jacobians."""
    horizon = shown_horizon(result)
    drawings: list[Drawing] = [*depth_maps(result)]
    drawings += [_by_layer(result, kind, horizon) for kind in result["kind"].values.tolist()]
    drawings += [_by_horizon(result), _by_size(result, horizon)]
    if "kl_ratio" in result:
        drawings.append(_readout(result))
    if result["contracting_share"].notnull().any():
        drawings.append(_contracting(result))
    return drawings


def _by_layer(result: xr.Dataset, kind: str, horizon: str) -> Lines:
    """The ratio after one horizon by layer: model, untrained networks, zero update."""
    chosen = result["log_ratio"].sel(kind=kind, size=UNIT_SIZE, horizon=horizon)
    series = against_nulls(result, chosen)
    if kind == "random" and horizon == JACOBIAN_HORIZON:
        name = result["system"].values.tolist()[0]
        linear = result["jvp_log_ratio"].sel(system=name)
        title = f"{name}, infinitesimal (Jacobian)"
        series.insert(1, model_line(linear, title, role="detail"))
    return Lines(
        title=f"Distance left {after(horizon)}: {KIND_NAMES[kind]}",
        x_label=LAYER,
        y_label=RATIO,
        series=series,
        y_scale="log",
        caption=caption(
            "Distance from the unperturbed trajectory over the initial one, for displacements of "
            "size 1, geometric mean over texts",
            n=n_texts(result),
            interval=SPREAD,
            null="untrained networks, zero update",
        ),
        interpretation=(
            "Contraction brings the model below 1, the value of zero update, and below the "
            "untrained networks."
        ),
    )


def _by_horizon(result: xr.Dataset) -> Lines:
    """The ratio by layer for every horizon, of the model by kind."""
    names, horizons = result["system"].values.tolist(), result["horizon"].values.tolist()
    chosen = result["log_ratio"].sel(system=names[0], size=UNIT_SIZE)
    return _of_model(
        result,
        {after(horizon): chosen.sel(horizon=horizon) for horizon in horizons},
        title="Distance left by horizon",
        quantity="displacements of size 1 by horizon",
        interpretation="Contraction at a layer brings the ratio below 1 after the first sublayers.",
    )


def _by_size(result: xr.Dataset, horizon: str) -> Lines:
    """The ratio after one horizon by layer for every size, of the model by kind."""
    names, sizes = result["system"].values.tolist(), result["size"].values.tolist()
    chosen = result["log_ratio"].sel(system=names[0], horizon=horizon)
    return _of_model(
        result,
        {f"size {size:g}": chosen.sel(size=size) for size in sizes},
        title=f"Distance left {after(horizon)}, by size of the displacement",
        quantity="displacements by size, in units of the spread between texts",
        interpretation="A linear response has the same ratio for all sizes.",
    )


def _of_model(
    result: xr.Dataset,
    conditions: dict[str, xr.DataArray],
    *,
    title: str,
    quantity: str,
    interpretation: str,
) -> Lines:
    """A line for each kind and condition; of all kinds but the leading one hidden."""
    kinds = result["kind"].values.tolist()
    series = [
        model_line(
            logs.sel(kind=kind), f"{name}, {KIND_NAMES[kind]}", hidden=kind != leading_kind(kinds)
        )
        for kind in kinds
        for name, logs in conditions.items()
    ]
    return Lines(
        title=title,
        x_label=LAYER,
        y_label=RATIO,
        series=[*series, zero_update(result)],
        y_scale="log",
        caption=caption(
            "Distance from the unperturbed trajectory over the initial one, for "
            f"{quantity}, geometric mean over texts (other kinds are hidden in the legend)",
            n=n_texts(result),
            interval=BOOTSTRAP,
            null="zero update",
        ),
        interpretation=interpretation,
    )


def _readout(result: xr.Dataset) -> Lines:
    """KL over that of zero update by layer, of the model by kind and of the untrained networks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = result["kl_ratio"].copy(data=np.log(result["kl_ratio"].values))
    series = []
    for kind in result["kind"].values.tolist():
        model, *others = against_nulls(result, logs.sel(kind=kind))
        series.append(replace(model, name=f"{model.name}, {KIND_NAMES[kind]}"))
        series += [
            replace(line, name=f"{line.name}, {KIND_NAMES[kind]}", hidden=True)
            for line in others[:-1]
        ]
    return Lines(
        title="Change of the prediction relative to zero update",
        x_label=LAYER,
        y_label="KL / KL of zero update (1)",
        series=[*series, zero_update(result)],
        y_scale="log",
        caption=caption(
            "KL divergence between unperturbed and perturbed next-token distribution, over that "
            "with the same displacement added to the final state; displacements of size 1, "
            "geometric mean over texts",
            n=n_texts(result),
            interval=SPREAD,
            null="zero update; untrained networks, hidden in the legend",
        ),
        interpretation="Correction of what the prediction reads brings the ratio below 1.",
    )


def _contracting(result: xr.Dataset) -> Lines:
    """Share of the directions that the Jacobian over 12 sublayers contracts, by text."""
    shares = result["contracting_share"]
    followed = shares.isel(sample=shares.notnull().any("start").values)
    series = [
        Series(name=f"text {int(row['text'])}", x=layers(result), y=row.values)
        for row in followed.transpose("sample", "start")
    ]
    return Lines(
        title=f"Share of contracted directions over {JACOBIAN_HORIZON} sublayers",
        x_label=LAYER,
        y_label="share of singular values below 1 (1)",
        series=series,
        caption=caption(
            "Share of the singular values below 1 of the model's Jacobian, one line for each text",
            n=f"{followed.sizes['sample']} texts",
        ),
        interpretation="A contracting band has more than half of the directions below 1.",
    )
