"""Tests of the marks of periodic orbits against surrogates: heights, p-values, units found."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.measures.orbits.fixed_points import window_sites
from transformer_dynamics.measures.orbits.levels import level_centers
from transformer_dynamics.measures.orbits.marks import EMBEDDINGS, PERIODS, Marks, largest_height
from transformer_dynamics.measures.orbits.recurrence import ENCOUNTER_SITES
from transformer_dynamics.measures.orbits.traces import relative, robust_scores
from transformer_dynamics.numerics.arrays import Floats

LEVEL = 0.05


def recurrence_tests(traces: Floats, observed: Marks, draws: dict[str, Marks]) -> xr.Dataset:
    """Test the observed counts against the draws of each kind of surrogate.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        observed: counts of the traces.
        draws: counts of the surrogates, `(draw, ...)`, by kind.

    Returns:
        Heights, p-values, counts per trace and `found`, as in `periodic_orbits`.
    """
    n_samples, _, n_sites = traces.shape
    _, middle, deviation = robust_scores(relative(traces))
    combination, per_unit = ("embedding", "period", "unit"), ("unit",)
    dims = {"transform": combination, "returns": per_unit, "encounters": per_unit}
    bins = {"transform": "level", "returns": "time", "encounters": "once"}
    result = xr.Dataset()
    for name, counts in observed._asdict().items():
        of_draws = [getattr(of_kind, name) for of_kind in draws.values()]
        defined = _defined(name, n_sites) & np.isfinite(deviation)
        tested = [largest_height(counts, of_draw) for of_draw in of_draws]
        along = ("surrogate", *dims[name])
        result[f"{name}_height"] = (along, [np.where(defined, t[0], np.nan) for t in tested])
        result[f"{name}_p"] = (along, [np.where(defined, t[1], np.nan) for t in tested])
        binned = (*dims[name], bins[name])
        divisor = 1 if name == "returns" else n_samples
        result[name] = (binned, np.where(defined[..., np.newaxis], counts, np.nan) / divisor)
        for word, pooled in (("mean", np.mean), ("deviation", np.std)):
            result[f"surrogate_{name}_{word}"] = (
                ("surrogate", *binned),
                np.stack([pooled(of_draw, axis=0) for of_draw in of_draws]) / divisor,
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
    """Mark the tests that have enough sites, for broadcasting over units."""
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
    """Compute the share of units with p at most 5 % against all surrogates, `(test)`."""
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
