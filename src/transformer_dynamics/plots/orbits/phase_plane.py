"""Figures of `orbits.rotation_counts` and of `orbits.phase_portrait`."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.orbits.rotation import rotation_count
from transformer_dynamics.plots.backend import (
    Drawing,
    Group,
    Heatmap,
    Histogram,
    Path,
    Paths,
    shown_note,
    shown_rows,
)
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import names_of
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM

PORTRAIT_QUANTILES = np.array([0.0, 0.5, 1.0])


@figure("orbits.rotation_counts")
def draw_rotations(result: xr.Dataset) -> list[Drawing]:
    """Draw the distributions of the counts, over units and over single samples."""
    walk = abs(result["random_walk_count"].item())
    mean_traces = np.abs(result["rotation_count"].values)
    single = np.abs(result["rotation_count_per_sample"].values.ravel())
    return [
        Histogram(
            title="Rotation counts of single units over depth",
            x_label="magnitude of the rotation count (turns)",
            groups=[
                Group(name="traces averaged over samples", values=mean_traces),
                Group(name="traces of single samples", values=single, role="detail"),
            ],
            caption=caption(
                "Number of turns of each unit in the plane of activation and gradient",
                n=f"{n_samples(result)}, {result.sizes['unit']} units",
                null=f"a Gaussian random walk makes {walk:.2f} turns",
            ),
            interpretation=(
                "Orbits require that units return to the same points, since any sum of independent "
                "steps turns about as often as the random walk."
            ),
        )
    ]


@figure("orbits.phase_portrait")
def draw_phase_portrait(result: xr.Dataset) -> list[Drawing]:
    """Draw the paths of a few units, from few turns to many, and all mean traces as a matrix."""
    return [_portraits(result), _traces(result)]


def _portraits(result: xr.Dataset) -> Paths:
    activation, gradient = result["activation"].values, result["gradient"].values
    with warnings.catch_warnings():
        # The measure has warned of constant units already.
        warnings.simplefilter("ignore", UndefinedWarning)
        turns = np.abs(rotation_count(activation.T))
    defined = np.flatnonzero(np.isfinite(turns))
    ascending = defined[np.argsort(turns[defined], kind="stable")]
    ranks = np.round(PORTRAIT_QUANTILES * (ascending.size - 1)).astype(int)
    chosen = ascending[np.unique(ranks)] if ascending.size else ascending
    paths = [
        Path(
            name=f"unit {unit}: {turns[unit]:.1f} turns",
            points=np.column_stack([activation[:, unit], gradient[:, unit]]),
            labels=names_of(result, "site"),
        )
        for unit in chosen
    ]
    return Paths(
        title="Phase portraits of single units",
        x_label=f"activation ({STREAM})",
        y_label="gradient (stream units per site)",
        paths=paths,
        caption=caption(
            "Activation of a unit and its gradient over depth, for the units with the least, the "
            "median and the most turns, mean over samples",
            n=n_samples(result),
        ),
        interpretation="The curve of an orbit closes and repeats, and does not only turn.",
    )


def _traces(result: xr.Dataset) -> Heatmap:
    activation = result["activation"].values
    n_units = activation.shape[1]
    ranked = np.argsort(activation[-1], kind="stable")
    return Heatmap(
        title="Mean trace of every unit",
        x_label="site (label)",
        y_label=f"unit (rank by its value at the last site{shown_note(n_units)})",
        color_label=f"activation ({STREAM}; end colors beyond the 99th percentile)",
        values=activation[:, ranked[shown_rows(n_units)]].T,
        x_names=names_of(result, "site"),
        caption=caption(
            f"Activation of {n_units} units by depth, mean over samples",
            n=n_samples(result),
        ),
        interpretation=(
            "Horizontal stripes show units that are continuous over depth, which those of a random "
            "walk are as well."
        ),
    )
