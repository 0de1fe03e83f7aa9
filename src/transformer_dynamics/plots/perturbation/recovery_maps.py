"""Heat maps of `perturbation.recovery`: ratio of distances by layer and horizon."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Heatmap
from transformer_dynamics.plots.backend.captions import caption
from transformer_dynamics.plots.perturbation.displacements import (
    KIND_NAMES,
    LAYER,
    layer_of,
    leading_kind,
    twins,
)
from transformer_dynamics.plots.perturbation.systems import n_texts

# A factor of two ends the color scale, unless nearly all ratios are closer to one.
LARGEST = float(np.log(2.0))
MOST_TICKS = 10


def depth_maps(result: xr.Dataset) -> list[Heatmap]:
    """Draw the mean log ratio by layer and horizon, of the model by kind and of the twins."""
    names = result["system"].values.tolist()
    maps = {key: _by_horizon(paths) for key, paths in _shown(result).items()}
    finite = np.abs(np.concatenate([values[np.isfinite(values)] for values in maps.values()]))
    limit = (min(LARGEST, float(np.percentile(finite, 95))) if finite.size else LARGEST) or LARGEST
    layers = [str(layer_of(start)) for start in result["start"].values]
    step = max(1, len(layers) // MOST_TICKS)
    return [
        Heatmap(
            title=f"By layer and horizon: {system}, {KIND_NAMES[kind]}",
            x_label="horizon (sublayers after the injection)",
            y_label=LAYER,
            color_label="ln(distance / initial distance), mean over texts (nats)",
            values=values,
            y_ticks=[(index, layers[index]) for index in range(0, len(layers), step)],
            limit=limit,
            caption=caption(
                "Log ratio of the distance to the initial one, for displacements of size 1, the "
                f"spread between texts (one color beyond {np.exp(limit):.2g}-fold, gray beyond the "
                "last site)",
                n=n_texts(result),
                null="zero update, white throughout",
            ),
            interpretation=(
                "A contracting band is a blue strip in the model that the untrained networks lack."
            ),
            role="model" if system == names[0] else "null",
        )
        for (system, kind), values in maps.items()
    ]


def _shown(result: xr.Dataset) -> dict[tuple[str, str], xr.DataArray]:
    """Paths of log ratios by system and kind: every kind of the model, one of the mean twin."""
    names, kinds = result["system"].values.tolist(), result["kind"].values.tolist()
    paths, untrained = result["log_ratio_path"], twins(result)
    shown = {(names[0], kind): paths.sel(system=names[0], kind=kind) for kind in kinds}
    if untrained:
        kind = leading_kind(kinds)
        mean = paths.sel(system=untrained, kind=kind).mean("system")
        shown[f"{len(untrained)} untrained networks", kind] = mean
    return shown


def _by_horizon(paths: xr.DataArray) -> Floats:
    """Values `(start, site)` as `(start, horizon)`, NaN beyond the last site."""
    sites = paths["site"].values.tolist()
    firsts = [sites.index(str(start)) for start in paths["start"].values]
    shifted = np.full((len(firsts), len(sites)), np.nan)
    for row, first, path in zip(shifted, firsts, paths.transpose("start", "site"), strict=True):
        row[: len(sites) - first] = path.values[first:]
    return shifted[:, : len(sites) - min(firsts)]
