"""C9: layers are asymmetric and rotate early, and turn nearly symmetric late, by learning.

Statistic: symmetric energy of each layer's update without its trace, mean over the last third of
the layers minus mean over the first third (arXiv 2605.14258, which finds asymmetric early and
near-symmetric late layers in trained models). The rest of the energy is skew-symmetric: rotation.

A layer's Jacobian is I + U. As the stream's norm grows, normalization shrinks U, and I + U turns
symmetric whatever U is: late steps lie 0.97 near the identity in a model and in random updates
alike. So the statistic is that of U, and of U less its mean diagonal, which scales all deviations
alike.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import UNTRAINED, Claim, thirds
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing


def profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Symmetric energy of each layer's traceless update, mean over texts, `(draw, step)`."""
    energy = result["traceless_symmetric_energy"].transpose("sample", "step").values
    mean: Floats = weights @ energy
    return mean


def illustration(result: xr.Dataset) -> Floats:
    """Symmetric energy of each layer's Jacobian itself, mean over texts, `(step)`."""
    energy: Floats = result["symmetric_energy"].sel(reading="step").mean("sample").values
    return energy


def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """Name the skew-symmetric share, and the largest symmetric one."""
    energy = evidence["profile"].values
    third = max(1, len(energy) // 3)
    early, late = energy[:third].mean(), energy[-third:].mean()
    return (
        f"The symmetric energy of the updates goes from {early:.3g} in the first third of the "
        f"layers to {late:.3g} in the last, so that the skew-symmetric share, rotation, goes from "
        f"{1 - early:.3g} to {1 - late:.3g}. The most symmetric update is that of layer "
        f"{int(np.nanargmax(energy))} ({np.nanmax(energy):.3g}); a Gaussian matrix has 0.5. Read "
        f"with the identity of the residual connection the last third has "
        f"{evidence['illustration'].values[-third:].mean():.3g}."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Symmetric energy by layer beside that of the nulls: of the update, and of the whole step."""
    steps = evidence.assign(
        profile=evidence["illustration"],
        profile_low=evidence["illustration"],
        profile_high=evidence["illustration"],
        null_profile=evidence["null_illustration"],
        null_low=evidence["null_illustration"],
        null_high=evidence["null_illustration"],
    )
    label = "symmetric share of the squared norm (1)"
    return [
        profile_lines(
            evidence,
            title="Symmetric energy of each layer's traceless update",
            y_label=label,
            caption="How symmetric the change is that each layer adds to a small deviation.",
            interpretation=(
                "The rise would have to exceed that of updates with the same singular values in "
                "random bases, and that of the untrained network."
            ),
        ),
        profile_lines(
            steps,
            title="The same of the whole step, I + U, mean over texts",
            y_label=label,
            caption="The same with the identity that the residual connection adds.",
            interpretation="This rises wherever updates become small beside the identity.",
        ),
        statistic_intervals(evidence, "symmetric energy of updates, late minus early third (1)"),
    ]


CLAIM = Claim(
    id="C9",
    statement=(
        "The updates of layers go from asymmetric, rotating ones early to more symmetric ones "
        "late, by learning."
    ),
    statistic=(
        "symmetric energy |(U + U^T)/2|^2 / |U|^2 of the layers' traceless Jacobian updates at the "
        "last token, last third minus first third of the layers (1)"
    ),
    source="arXiv 2605.14258: asymmetric early, near-symmetric late, in trained models alone",
    perturbation="perturbation.jacobians",
    profile=profile,
    summary=thirds,
    dims=("step",),
    coords=lambda result: {"step": result["step"].values},
    threshold=0.0,
    nulls={
        "spectrum_matched_updates": "it has the singular values of every update, in random bases",
        "untrained": UNTRAINED,
    },
    shown={
        "random_updates": "it has the size of every update and another spectrum",
    },
    illustration=illustration,
    illustration_dims=("step",),
    note=note,
    draw=draw,
).register()
