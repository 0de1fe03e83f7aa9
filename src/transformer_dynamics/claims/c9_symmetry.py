"""C9: updates of layers rotate early in depth and become symmetric late.

Statistic: symmetric energy |(U + U^T)/2|^2 / |U|^2 of each layer's Jacobian update U without its
mean diagonal, last third of the layers minus first third. The rest of the energy is skew-symmetric:
rotation. The update is used, not the Jacobian I + U, which becomes symmetric wherever U is small.
Source: arXiv 2605.14258.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve, profile_lines, standard_figures
from transformer_dynamics.claims.profiles import thirds
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing

CURVE = Curve(
    title="Symmetric energy of each layer's traceless update",
    y_label="symmetric share of the squared norm (1)",
    statistic="symmetric energy of updates, last third minus first third (1)",
    caption="Symmetric share of the Jacobian update of each layer, mean over texts.",
    interpretation=(
        "The claim requires a larger increase than updates with the same singular values in "
        "random bases, and than the untrained network."
    ),
)


def profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Symmetric energy of each layer's traceless update, mean over texts, `(draw, step)`."""
    energy = result["traceless_symmetric_energy"].transpose("sample", "step").values
    mean: Floats = weights @ energy
    return mean


def illustration(result: xr.Dataset) -> xr.DataArray:
    """Symmetric energy of each layer's whole Jacobian, mean over texts, `(step)`."""
    energy = result["symmetric_energy"].sel(reading="step").mean("sample")
    return xr.DataArray(energy.values, dims=("step",))


def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """Give the skew-symmetric share early and late, and the most symmetric layer."""
    energy = evidence["profile"].values
    third = max(1, len(energy) // 3)
    early, late = energy[:third].mean(), energy[-third:].mean()
    return (
        f"The symmetric energy of the updates is {early:.3g} in the first third of the layers and "
        f"{late:.3g} in the last third; the skew-symmetric share, rotation, is {1 - early:.3g} and "
        f"{1 - late:.3g}. Layer {int(np.nanargmax(energy))} has the most symmetric update "
        f"({np.nanmax(energy):.3g}); a Gaussian matrix has 0.5. With the identity of the residual "
        f"connection the last third has {evidence['illustration'].values[-third:].mean():.3g}."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Symmetric energy by layer of the update and of the whole Jacobian, and the statistic."""
    steps = evidence.assign(
        profile=evidence["illustration"],
        profile_low=evidence["illustration"],
        profile_high=evidence["illustration"],
        null_profile=evidence["null_illustration"],
        null_low=evidence["null_illustration"],
        null_high=evidence["null_illustration"],
    )
    whole = profile_lines(
        steps,
        title="Symmetric energy of each layer's Jacobian, I + U, mean over texts",
        y_label=CURVE.y_label,
        caption="The same with the identity that the residual connection adds.",
        interpretation="The value increases wherever updates are small relative to the identity.",
    )
    update, intervals = standard_figures(evidence, CURVE)
    return [update, whole, intervals]


CLAIM = Claim(
    id="C9",
    statement="Updates of layers rotate early in depth and become more symmetric late.",
    statistic=(
        "symmetric energy |(U + U^T)/2|^2 / |U|^2 of the layers' traceless Jacobian updates at the "
        "last token, last third minus first third of the layers (1)"
    ),
    source="arXiv 2605.14258: asymmetric early, near-symmetric late, in trained models alone",
    perturbation="perturbation.jacobians",
    profile=profile,
    summary=thirds,
    threshold=0.0,
    nulls={
        "spectrum_matched_updates": "keeps the singular values of every update, in random bases",
        "untrained": UNTRAINED,
    },
    shown={
        "random_updates": "keeps the size of every update only, so the spectrum differs as well",
    },
    illustration=illustration,
    note=note,
    draw=draw,
).register()
