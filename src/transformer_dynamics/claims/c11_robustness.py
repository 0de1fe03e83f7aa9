"""C11: single middle layers can be left out.

Statistic: share of positions whose most likely next token is unchanged when one layer is left out,
mean over the layers of the middle half and over texts. A layer whose update is small can be left
out for that reason alone; a random displacement of the update's norm decides.
Source: arXiv 2406.19384 (72 to 95 % unchanged, in larger models).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve
from transformer_dynamics.claims.profiles import mean_over_middle
from transformer_dynamics.numerics.arrays import Floats


def subjects(result: xr.Dataset) -> dict[str, xr.Dataset]:
    """Layers left out of the model and of its twins, and random edits of the same model."""
    model = result.sel(system="model")
    swapped = {"swap": model["agreement"].sel(edit="swap", drop=True)}
    systems = {
        "model": model.sel(edit="skip").assign(swapped),
        "moved": model.sel(edit="moved"),
        "turned_updates": model.sel(edit="turned"),
    }
    for name in sorted(set(map(str, result["system"].values)) - {"model"}):
        systems[name] = result.sel(system=name, edit="skip")
    return systems


def profile(result: xr.Dataset, weights: Floats) -> Floats:
    """Share of unchanged predictions by the edited layer, mean over texts, `(draw, layer)`."""
    agreement: Floats = weights @ result["agreement"].transpose("sample", "layer").values
    return agreement


def note(result: xr.Dataset, evidence: xr.Dataset) -> str:
    """Give the share for swapped neighbors, and the layers that matter most."""
    swap = result["swap"].mean("sample").values[np.newaxis, :-1]
    kept = evidence["profile"].values
    worst = ", ".join(f"{layer} ({kept[layer]:.2g})" for layer in np.argsort(kept)[:3])
    return (
        f"With neighboring layers swapped the share is {float(mean_over_middle(swap)[0]):.3g} in "
        f"the middle half. The smallest shares are without layer {worst}."
    )


CLAIM = Claim(
    id="C11",
    statement=(
        "Leaving out one middle layer changes fewer predictions than a random displacement of the "
        "same size."
    ),
    statistic=(
        "share of positions whose most likely next token is unchanged without one layer, mean over "
        "the layers of the middle half and texts (1)"
    ),
    source="arXiv 2406.19384: 72 to 95 % kept when a middle layer is deleted or swapped",
    perturbation="perturbation.skip_and_swap",
    subjects=subjects,
    profile=profile,
    summary=mean_over_middle,
    dims=("layer",),
    threshold=0.72,
    nulls={
        "moved": "displaces the stream by the norm of the update, in a random direction",
        "untrained": UNTRAINED,
    },
    shown={
        "turned_updates": "displaces the stream 1.41 times as far as leaving the layer out",
    },
    note=note,
    curve=Curve(
        title="Unchanged predictions without one layer",
        y_label="positions whose most likely next token is unchanged (1)",
        statistic="unchanged predictions, layers of the middle half (1)",
        caption="Share of unchanged predictions when one layer is left out, by layer.",
        interpretation=(
            "Robustness requires a larger share than after a random displacement of the same "
            "size, and than in the untrained network, whose layers have no function."
        ),
    ),
).register()
