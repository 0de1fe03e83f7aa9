"""C9: layers are non-normal and rotate early, and turn nearly symmetric late, by learning.

Statistic: symmetric energy of each layer's Jacobian, mean over the last third of layers minus mean
over the first third (arXiv 2605.14258, which finds asymmetric early and near-symmetric late layers
in trained models).

A layer's Jacobian is I + U. As the stream's norm grows, normalisation shrinks U, and I + U turns
symmetric whatever U is. Random updates with the size and the trace of U show by how much; the
untrained twin shows what the architecture gives.
"""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.claims.claim import Claim, Floats, thirds
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.drawing import Drawing


def profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Symmetric energy of each layer's Jacobian, mean over texts, `(draw, step)`."""
    return _mean(result, weights, "step")


def _mean(result: xr.Dataset, weights: Floats, reading: str) -> Floats:
    energy = result["symmetric_energy"].sel(reading=reading).transpose("sample", "step").values
    mean: Floats = weights @ energy
    return mean


def picture(result: xr.Dataset) -> Floats:
    """Symmetric energy of each layer's update, mean over texts, `(step)`."""
    energy: Floats = result["symmetric_energy"].sel(reading="update").mean("sample").values
    return energy


def remark(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """What the updates alone say."""
    update = evidence["picture"].values
    early, late = update[: len(update) // 3].mean(), update[-(len(update) // 3) :].mean()
    return (
        f"Of the updates alone, without the identity, symmetric energy goes from {early:.3g} in "
        f"the first third of layers to {late:.3g} in the last, {update.max():.3g} at most (layer "
        f"{int(update.argmax())}); a Gaussian matrix has 0.5."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Symmetric energy by layer beside that of the nulls: of the step, and of the update."""
    updates = evidence.assign(
        profile=evidence["picture"],
        profile_low=evidence["picture"],
        profile_high=evidence["picture"],
        null_profile=evidence["null_picture"],
        null_low=evidence["null_picture"],
        null_high=evidence["null_picture"],
    )
    label = "symmetric share of the squared norm (1)"
    return [
        profile_lines(
            evidence,
            title="Symmetric energy of each layer's Jacobian",
            y_label=label,
            shows="How symmetric each layer's answer to a small deviation is; 0.5 is random.",
            requires=(
                "The rise would have to exceed that of random updates of the same size, since the "
                "identity makes every small update look symmetric."
            ),
        ),
        profile_lines(
            updates,
            title="The same of the update alone, J - I, mean over texts",
            y_label=label,
            shows="The same without the identity that the residual connection adds.",
            requires="Layers that turn symmetric late would have to do so here as well.",
        ),
        statistic_intervals(evidence, "symmetric energy, late minus early third (1)"),
    ]


CLAIM = Claim(
    id="C9",
    statement=(
        "Layers go from asymmetric, rotating Jacobians early to near-symmetric ones late, beyond "
        "what updates of that size give, and learned rather than architectural."
    ),
    statistic=(
        "symmetric energy |(J + J^T)/2|^2 / |J|^2 of the layers' Jacobians at the last token, last "
        "third minus first third of the layers (1)"
    ),
    source="arXiv 2605.14258: asymmetric early, near-symmetric late, in trained models alone",
    perturbation="perturbation.jacobians",
    profile=profile,
    summary=thirds,
    dims=("step",),
    coords=lambda result: {"step": result["step"].values},
    threshold=0.0,
    nulls=("random_updates", "untrained"),
    shown=(),
    picture=picture,
    picture_dims=("step",),
    remark=remark,
    caveat="The identity of the residual connection makes every step with small updates symmetric.",
    draw=draw,
).register()
