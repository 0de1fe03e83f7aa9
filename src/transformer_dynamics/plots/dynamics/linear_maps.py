"""Figures of `dynamics.linear_maps`: skill by step, one map for all depths, its eigenvalues."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dynamics.linear.common_maps import MODELS
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing, Lines, Path, Paths
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, caption, n_samples
from transformer_dynamics.plots.backend.depth import STEP_LABEL, depth_series, level
from transformer_dynamics.plots.dynamics.rolled_maps import rolled_by_rank, rolled_from
from transformer_dynamics.registry import figure

BASELINES = {
    "scaled": "mean step and one scale",
    "mean_step": "the mean step",
    "zero": "no update",
}
MODEL_NAMES = {
    "per_step": "one map per step",
    "one_map": "one map for all depths (exact DMD)",
    "one_map_equal_weights": "one map for all depths, steps weighted alike",
    "one_map_of_deviations": "one map of deviations from the mean path",
}


@figure("dynamics.linear_maps")
def draw_linear(result: xr.Dataset) -> list[Drawing]:
    """Draw R² by step, one map against a map per step, eigenvalues, and rolled trajectories."""
    return [
        _skill(result),
        _one_map(result),
        _eigenvalues(result),
        rolled_by_rank(result),
        *(rolled_from(result, start) for start in result["start"].values.tolist()),
    ]


def _skill(result: xr.Dataset) -> Lines:
    series = []
    for baseline, noun in BASELINES.items():
        chosen = result.sel(baseline=baseline)
        series.append(
            depth_series(
                f"over {noun} (95 % over texts)",
                chosen["r2"],
                low=chosen["r2_low"].values,
                high=chosen["r2_high"].values,
                hidden=baseline == "zero",
            )
        )
    x = series[0].x
    return Lines(
        title="Share of each update that a linear map predicts",
        x_label=STEP_LABEL,
        y_label="R² of the update against a baseline (1)",
        series=[*series, level("no better", x, 0.0), level("independent states", x, 0.5)],
        caption=caption(
            "Share of the squared updates that a linear map of the state explains beyond each "
            "baseline, on held-out texts",
            n=n_samples(result),
            interval=BOOTSTRAP,
            null="independent states, 0.5 over the mean step in closed form",
        ),
        interpretation=(
            "Skill is shown over the mean step with one scale, since unrelated states reach one "
            "half over the mean step alone, by regression to the mean."
        ),
    )


def _one_map(result: xr.Dataset) -> Lines:
    series = [
        depth_series(
            MODEL_NAMES[model],
            result["reduced_error"].sel(model=model),
            hidden=model == "one_map_equal_weights",
        )
        for model in MODELS
    ]
    return Lines(
        title=f"Error within {result.sizes['component']} components, held-out texts",
        x_label=STEP_LABEL,
        y_label="squared error / squared error of the mean step (1)",
        series=[*series, level("mean step", series[0].x, 1.0)],
        y_scale="log",
        caption=caption(
            "Squared error of linear maps over that of the mean step, on held-out texts",
            n=n_samples(result),
            null="mean step",
        ),
        interpretation=(
            "The stream is one dynamical system over depth only if one map predicts as well as a "
            "map per step, whichever way the steps are weighted."
        ),
    )


def _eigenvalues(result: xr.Dataset) -> Paths:
    paths = [
        Path(name=fit.replace("_", " "), points=_complex_plane(result.sel(fit=fit)))
        for fit in result["fit"].values.tolist()
    ]
    circle = np.linspace(0, 2 * np.pi, 181)
    unit = np.stack([np.cos(circle), np.sin(circle)], axis=1)
    return Paths(
        title="Eigenvalues of one map for all depths",
        x_label="real part (1 per step)",
        y_label="imaginary part (1 per step)",
        paths=[*paths, Path(name="unit circle", points=unit, role="reference")],
        markers=True,
        caption=caption(
            "Eigenvalues of the map: growth outside the unit circle, decay inside, rotation off "
            "the real axis",
            n=n_samples(result),
        ),
        interpretation=(
            "The eigenvalues describe the stream only if one map predicts about as well as a map "
            "per step."
        ),
    )


def _complex_plane(fit: xr.Dataset) -> Floats:
    modulus, angle = fit["eigenvalue_modulus"].values, fit["eigenvalue_angle"].values
    return np.stack([modulus * np.cos(angle), modulus * np.sin(angle)], axis=1)
