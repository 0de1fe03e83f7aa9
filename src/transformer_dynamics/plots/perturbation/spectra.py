"""Figures of `perturbation.spectra`: departure from normality, and eigenvalues of some layers."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.perturbation.jacobians.spectrum import READINGS
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Path, Paths
from transformer_dynamics.plots.backend.captions import caption
from transformer_dynamics.plots.perturbation.systems import depth_lines, role_of
from transformer_dynamics.registry import figure


@figure("perturbation.spectra")
def draw_spectra(result: xr.Dataset) -> list[Drawing]:
    """Draw the Henrici departure by layer, and the eigenvalues of three layers."""
    shown = result.sel(mode="context")
    drawings: list[Drawing] = [
        depth_lines(
            shown.sel(reading=reading),
            "henrici",
            f"Departure from normality of each layer's Jacobian ({reading})",
            quantity="Henrici departure from a matrix with orthogonal eigenvectors, which has 0",
            interpretation="Learned non-normality differs from that of random updates.",
        )
        for reading in READINGS
    ]
    last = result.sizes["step"] - 1
    return [*drawings, *(_eigenvalues(shown, i) for i in dict.fromkeys([0, (last + 1) // 2, last]))]


def _eigenvalues(shown: xr.Dataset, step: int) -> Paths:
    """The eigenvalues of one step's Jacobian of the first text, one cloud for each system."""
    systems = shown["system"].values.tolist()
    paths = [
        Path(
            name=system.replace("_", " "),
            points=np.stack(
                [
                    shown[f"eigenvalue_{part}"].sel(system=system).values[0, step]
                    for part in ("real", "imaginary")
                ],
                axis=1,
            ),
            role=role_of(system),
        )
        for system in systems
    ]
    return Paths(
        title=f"Eigenvalues of the step {shown['step'].values[step]}, first text",
        x_label="real part (1)",
        y_label="imaginary part (1)",
        markers=True,
        paths=paths,
        caption=caption(
            "Eigenvalues of the layer's Jacobian; those off the real axis rotate",
            n="1 text",
            null=", ".join(name.replace("_", " ") for name in systems if name != MODEL),
        ),
        interpretation=(
            "Learned rotation gives more complex eigenvalues than random updates, of which nearly "
            "all eigenvalues are complex."
        ),
    )
