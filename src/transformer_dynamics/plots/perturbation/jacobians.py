"""Figures of `perturbation.jacobians`: symmetry by layer, rank and spectrum of the product."""

from __future__ import annotations

from typing import Literal

import xarray as xr

from transformer_dynamics.perturbation.jacobians.spectrum import READINGS
from transformer_dynamics.perturbation.systems import shown_systems
from transformer_dynamics.plots.backend import Drawing, Lines
from transformer_dynamics.plots.backend.bands import text_series
from transformer_dynamics.plots.backend.captions import words
from transformer_dynamics.plots.perturbation.systems import depth_lines, role_of, system_caption
from transformer_dynamics.registry import figure


@figure("perturbation.jacobians")
def draw_jacobians(result: xr.Dataset) -> list[Drawing]:
    """Draw symmetric energy of steps and updates, ranks of the product, spectrum, exponents."""
    return [
        *(_symmetry(result, reading) for reading in READINGS),
        _traceless_symmetry(result),
        _rank(result),
        _by_exponent(
            result,
            "composed_singular_value",
            "Singular values of all layers together",
            "singular value / largest (1)",
            "A bottleneck is a steep fall of the curve that spectrum-matched updates do not have.",
            "log",
        ),
        _by_exponent(
            result,
            "lyapunov_exponent",
            "Lyapunov exponents of all layers together",
            "finite-time Lyapunov exponent (nats per layer)",
            "An attractor has negative exponents; positive ones mean that deviations grow.",
        ),
    ]


def _symmetry(result: xr.Dataset, reading: str) -> Lines:
    return depth_lines(
        result.sel(reading=reading),
        "symmetric_energy",
        f"Symmetric energy of each layer's Jacobian ({reading})",
        quantity="Share of the squared norm in the symmetric part; 0.5 for a random matrix",
        interpretation=(
            "A learned change from rotating to symmetric layers rises more than in random updates "
            "of the same size and in the untrained network."
        ),
    )


def _traceless_symmetry(result: xr.Dataset) -> Lines:
    return depth_lines(
        result,
        "traceless_symmetric_energy",
        "Symmetric energy of each layer's traceless update",
        quantity=(
            "Share of the squared norm in the symmetric part of the update less its mean diagonal, "
            "which scales all deviations alike"
        ),
        interpretation=(
            "Learned symmetry differs from that of spectrum-matched updates, which is about 0.5, "
            "and from that of the untrained network."
        ),
    )


def _rank(result: xr.Dataset) -> Lines:
    return depth_lines(
        result,
        "effective_rank",
        "Effective rank of the product of layers",
        quantity="Effective rank of the product of the Jacobians up to each layer",
        interpretation=(
            "Layers that form a bottleneck together give a lower rank than spectrum-matched "
            "updates, which keep the rank of each layer; random updates do not keep it."
        ),
    )


def _by_exponent(
    result: xr.Dataset,
    name: str,
    title: str,
    y_label: str,
    interpretation: str,
    y_scale: Literal["linear", "log"] = "linear",
) -> Lines:
    return Lines(
        title=title,
        x_label="rank (index, largest first)",
        y_label=y_label,
        y_scale=y_scale,
        series=[
            text_series(result[name].sel(system=system), words(system), role=role_of(system))
            for system in shown_systems(result)
        ],
        caption=system_caption(result, f"{title}, in descending order, mean over texts"),
        interpretation=interpretation,
    )
