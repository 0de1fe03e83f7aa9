"""Figures of `perturbation.community_gain`: rank correlations over depth, gain by boundary."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.jacobians.spectrum import (
    READINGS,
)
from transformer_dynamics.perturbation.systems import (
    MODEL,
    shown_systems,
)
from transformer_dynamics.plots.backend import Drawing, Lines, Path, Paths, Series
from transformer_dynamics.plots.backend.style import Role
from transformer_dynamics.plots.perturbation import banded, depth_lines
from transformer_dynamics.registry import figure


@figure("perturbation.community_gain")
def draw_community_gain(result: xr.Dataset) -> list[Drawing]:
    """Rank correlations over depth with the band of permutations, and gain by boundary."""
    depth, labels = result["depth"].values, [str(label) for label in result["start"].values]
    drawings: list[Drawing] = [
        _over_depth(result.sel(horizon=horizon), horizon, depth, labels)
        for horizon in result["horizon"].values.tolist()
    ]
    middle = labels[len(labels) // 2]
    shown = result.sel(start=middle)
    for horizon in result["horizon"].values.tolist():
        drawings.append(
            Lines(
                title=f"Gain of units by their boundary position, {middle}, {horizon}",
                x_label="boundary position: share of edge weight to other communities (1)",
                y_label="gain |J e_u|, root mean square over texts (1)",
                y_scale="log",
                series=[
                    Series(
                        name=system.replace("_", " "),
                        x=shown["boundary"].sel(system=system).values,
                        y=shown["mean_gain"].sel(system=system, horizon=horizon).values,
                        role="model" if system == MODEL else "null",
                        markers=True,
                    )
                    for system in result["system"].values.tolist()
                ],
                caption="Gain of small changes of each unit against its place between communities.",
                interpretation=(
                    "A dependence counts where it exceeds permuted units and the untrained "
                    "network, and remains with variance and strength regressed out."
                ),
            )
        )
    return drawings


def _over_depth(result: xr.Dataset, horizon: str, depth: Floats, labels: list[str]) -> Lines:
    series = []
    for system in result["system"].values.tolist():
        role: Role = "model" if system == MODEL else "null"
        for name, words in (("spearman", "Spearman"), ("partial_spearman", "partial")):
            values = result[name].sel(system=system).values
            title = f"{system.replace('_', ' ')}, {words}"
            series.append(Series(name=title, x=depth, y=values, labels=labels, role=role))
    null = result.sel(system=result["system"].values[0])
    series.append(
        Series(
            name="permuted units, middle 95 %",
            x=depth,
            y=0.0 * depth,
            low=null["spearman_null_low"].values,
            high=null["spearman_null_high"].values,
            role="reference",
        )
    )
    return Lines(
        title=f"Rank correlation of boundary position and gain over depth, {horizon}",
        x_label="site (index)",
        y_label="rank correlation over units (1)",
        series=series,
        caption=(
            "Whether units between communities are amplified more (above 0) or less; partial: "
            "log variance and strength regressed out."
        ),
        interpretation=(
            "The model must lie outside the permuted units and away from the untrained "
            "network at the same depth."
        ),
    )


@figure("perturbation.jacobians")
def draw_jacobians(result: xr.Dataset) -> list[Drawing]:
    """Symmetric energy of steps and updates, ranks of the product, its spectrum, exponents."""
    drawings: list[Drawing] = []
    for reading in READINGS:
        drawings.append(
            depth_lines(
                result.sel(reading=reading),
                "symmetric_energy",
                f"Symmetric energy of each layer's Jacobian ({reading})",
                caption="How symmetric each layer's answer to a small deviation is; 0.5 is random.",
                interpretation=(
                    "A learned passage from rotating to symmetric layers would rise more than in "
                    "random updates of the same size and in the untrained network."
                ),
            )
        )
    drawings.append(
        depth_lines(
            result,
            "traceless_symmetric_energy",
            "Symmetric energy of each layer's update without its mean diagonal",
            caption="The same without the part that scales every deviation alike.",
            interpretation=(
                "Learned symmetry would differ from that of spectrum-matched updates, which have "
                "about 0.5, and from the untrained network."
            ),
        )
    )
    drawings.append(
        depth_lines(
            result,
            "effective_rank",
            "Effective rank of the product of layers so far",
            caption="Over how many directions deviations still differ after so many layers.",
            interpretation=(
                "Layers that fit together to a bottleneck would be narrower than spectrum-matched "
                "updates, which keep each layer's own low rank; random updates do not keep it."
            ),
        )
    )
    for name, y_label, caption, interpretation in (
        (
            "composed_singular_value",
            "singular value / largest (1)",
            "How unequally all layers together let directions through.",
            "A bottleneck would be a knee that spectrum-matched updates do not have.",
        ),
        (
            "lyapunov_exponent",
            "finite-time Lyapunov exponent (nats per layer)",
            "How fast small deviations grow or shrink per layer, by direction.",
            "An attractor would have negative exponents; positive ones mean that deviations grow.",
        ),
    ):
        drawings.append(
            Lines(
                title=f"All layers together, mean over texts: {y_label.rpartition(' (')[0]}",
                x_label="rank (index, largest first)",
                y_label=y_label,
                y_scale="log" if name == "composed_singular_value" else "linear",
                series=[
                    banded(result[name].sel(system=system), system)
                    for system in shown_systems(result)
                ],
                caption=caption,
                interpretation=interpretation,
            )
        )
    return drawings


@figure("perturbation.spectra")
def draw_spectra(result: xr.Dataset) -> list[Drawing]:
    """Henrici by layer, and the eigenvalues of some layers."""
    shown = result.sel(mode="context")
    drawings: list[Drawing] = [
        depth_lines(
            shown.sel(reading=reading),
            "henrici",
            f"Departure from normality of each layer's Jacobian ({reading})",
            caption="How far each layer is from a matrix with orthogonal eigenvectors (0: normal).",
            interpretation="Learned non-normality would differ from that of random updates.",
        )
        for reading in READINGS
    ]
    names = result["step"].values.tolist()
    for place in dict.fromkeys([0, len(names) // 2, len(names) - 1]):
        drawings.append(
            Paths(
                title=f"Eigenvalues of the step {names[place]}, first text",
                x_label="real part (1)",
                y_label="imaginary part (1)",
                markers=True,
                caption="Where the layer's eigenvalues lie; off the real axis they rotate.",
                interpretation=(
                    "Rotation that is learned would put more of them off the axis than in random "
                    "updates, of which nearly all are complex."
                ),
                paths=[
                    Path(
                        name=system.replace("_", " "),
                        points=np.stack(
                            [
                                shown["eigenvalue_real"].sel(system=system).values[0, place],
                                shown["eigenvalue_imaginary"].sel(system=system).values[0, place],
                            ],
                            axis=1,
                        ),
                        role="model" if system == MODEL else "null",
                    )
                    for system in result["system"].values.tolist()
                ],
            )
        )
    return drawings
