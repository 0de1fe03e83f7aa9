"""Dataset of the sums that moments hold, of one block of samples."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.moments.histograms import joint_histograms
from transformer_dynamics.recording.moments.products import Products
from transformer_dynamics.recording.recording import Recording


def block_sums(block: Recording, edges: Floats, *, full: bool) -> xr.Dataset:
    """Compute the sums of a block of samples.

    Args:
        block: `(sample, site, unit)`, in memory.
        edges: Edges of the histogram bins, `(site, unit, edge)`.
        full: Whether to keep all pairs of units, or each unit with itself.

    Raises:
        RecordingError: the edges are those of another number of sites or units.
    """
    values = block.values
    _, n_sites, n_units = values.shape
    if edges.shape[:2] != (n_sites, n_units):
        raise RecordingError(
            f"got bins for {edges.shape[0]} sites of {edges.shape[1]} units, the recording has "
            f"{n_sites} of {n_units}; give moments of the same model: "
            "td.RecordingOptions(grid=moments)"
        )
    dataset = sums_dataset(Products.of(values, full=full), edges, joint_histograms(values, edges))
    return dataset.assign_coords({**block.site_coords, **block.step_coords})


def sums_dataset(products: Products, edges: Floats, joint: NDArray[np.int64]) -> xr.Dataset:
    """Label products, edges of bins and joint histograms as one Dataset."""
    pair = ("unit", "other_unit") if products.full else ("unit",)
    stream = {"units": "stream units"}
    squared = {"units": "stream units squared", "definition": "sum over samples, about the mean"}
    return xr.Dataset(
        {
            "mean": (("site", "unit"), products.mean, stream),
            "within": (("site", *pair), products.within, squared),
            "between": (("step", *pair), products.between, squared),
            "bin_edge": (("site", "unit", "edge"), edges, stream),
            "joint": (("step", "unit", "bin", "other_bin"), joint, {"units": "samples"}),
        }
    )
