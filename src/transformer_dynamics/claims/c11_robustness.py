"""C11: the middle layers can be left out, one at a time.

Statistic: share of positions whose most likely next token stays when one layer is left out, mean
over the layers of the middle half (arXiv 2406.19384: 72 to 95 % kept, in larger models). A layer
that adds little to a large stream can be left out for that alone: a random displacement of the
update's norm moves the stream as far as leaving the layer out does, and decides. Turning the update
displaces by 1.41 of its norm and is shown.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing


def subjects(result: xr.Dataset) -> dict[str, xr.Dataset]:
    """Layers left out of the model and of its twins, and random changes of the same model."""
    model = result.sel(system="model")
    swapped = {"swap": model["agreement"].sel(edit="swap", drop=True)}
    found = {
        "model": model.sel(edit="skip").assign(swapped),
        "moved": model.sel(edit="moved"),
        "turned_updates": model.sel(edit="turned"),
    }
    for name in sorted(set(map(str, result["system"].values)) - {"model"}):
        found[name] = result.sel(system=name, edit="skip")
    return found


def profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Agreement by the layer that is edited, mean over texts, `(draw, layer)`."""
    agreement: Floats = weights @ result["agreement"].transpose("sample", "layer").values
    return agreement


def summary(profile: Floats) -> Floats:
    """Mean over the layers of the middle half, `(draw)`."""
    n_layers = profile.shape[-1]
    mean: Floats = profile[..., n_layers // 4 : n_layers - n_layers // 4].mean(axis=-1)
    return mean


def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """Swapped neighbors, and the layers that matter most."""
    swap = result["swap"].mean("sample").values[np.newaxis, :-1]
    kept = evidence["profile"].values
    worst = np.argsort(kept)[:3]
    return (
        f"With neighbors swapped {float(summary(swap)[0]):.3g} is kept in the middle. Least is "
        f"kept without layer {', '.join(f'{layer} ({kept[layer]:.2g})' for layer in worst)}."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Agreement by layer beside that of the nulls."""
    label = "positions whose most likely next token stays (1)"
    return [
        profile_lines(
            evidence,
            title="Predictions kept without one layer",
            y_label=label,
            along="layer",
            caption="How many predictions stay when one layer is left out, by layer.",
            interpretation=(
                "More would have to stay than after a random displacement of the same size, and "
                "than in the untrained network, where no layer does anything in particular."
            ),
        ),
        statistic_intervals(evidence, f"layers of the middle half: {label}"),
    ]


CLAIM = Claim(
    id="C11",
    statement=(
        "Leaving out one layer of the middle half keeps most predictions, more than a random "
        "displacement of the same size does."
    ),
    statistic=(
        "share of positions whose most likely next token stays without one layer, mean over the "
        "layers of the middle half and texts (1)"
    ),
    source="arXiv 2406.19384: 72 to 95 % kept when a middle layer is deleted or swapped",
    perturbation="perturbation.skip_and_swap",
    subjects=subjects,
    profile=profile,
    summary=summary,
    dims=("layer",),
    coords=lambda result: {"layer": result["layer"].values},
    threshold=0.72,
    nulls={
        "moved": "it displaces the stream by the norm of the update, in a random direction",
        "untrained": UNTRAINED,
    },
    shown={
        "turned_updates": "it displaces the stream by 1.41 of the norm that leaving out does",
    },
    note=note,
    draw=draw,
).register()
