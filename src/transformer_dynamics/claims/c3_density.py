"""C3: activations grow denser.

Statistic: Treves-Rolls population density (mean |x|)^2 / mean(x^2) over units, mean over texts, in
the last third of the sublayers minus the first third. It is free of scale: mean absolute activation
(what arXiv 2502.12131 shows growing) rises with the norm whatever the shape of the distribution.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim, thirds
from transformer_dynamics.claims.figures import profile_lines, statistic_intervals
from transformer_dynamics.measures.units.density import treves_rolls
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording

# Units with the largest squares, without which the statistic is given as well.
N_MASSIVE = 2


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean Treves-Rolls density over texts, `(draw, site)`."""
    return weights @ treves_rolls(recording.values)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """State the growth of mean |activation|, and the change of density without massive units."""
    first, last = (
        float(np.abs(recording.values[:, site]).mean(dtype=np.float64)) for site in (0, -1)
    )
    text = (
        f"Mean |activation|, which rises with the norm alone, goes from {first:.3g} to {last:.3g} "
        "stream units."
    )
    if recording.shape[2] <= 2 * N_MASSIVE:
        return text
    squares = (recording.values[:, -(recording.shape[1] // 3) :].astype(np.float64) ** 2).sum(
        (0, 1)
    )
    massive = np.sort(np.argsort(squares)[-N_MASSIVE:])
    others = np.delete(recording.values, massive, axis=2)
    change = float(thirds(treves_rolls(others).mean(axis=0)[np.newaxis])[0])
    named = " and ".join(str(unit) for unit in recording.dataset["unit"].values[massive])
    share = squares[massive].sum() / squares.sum() if squares.sum() > 0 else 0.0
    return (
        f"{text} Units {named} hold {share:.0%} of the squared norm in the last third of the "
        f"sublayers; without them the change of density is {change:.3g}."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Density by sublayer, and the statistic against its nulls."""
    return [
        profile_lines(
            evidence,
            title="Treves-Rolls density over depth, mean over texts (Gaussian: 0.64)",
            y_label="(mean |x|)² / mean x² over units (1)",
            along="site",
            caption="Over how many units the energy of a state is spread, whatever its norm.",
            interpretation=(
                "The rise would have to exceed that in a random basis, where every state is "
                "spread alike, and that of the untrained network."
            ),
        ),
        statistic_intervals(evidence, "density, last third minus first third of sublayers (1)"),
    ]


CLAIM = Claim(
    id="C3",
    statement="Activations grow denser over depth, beyond the growth of their norm.",
    statistic=(
        "Treves-Rolls density (mean |x|)^2 / mean(x^2) over units, mean over texts, last third of "
        "sublayers minus first third (1)"
    ),
    source="arXiv 2502.12131: growth of mean absolute activation; no formula printed",
    profile=profile,
    summary=thirds,
    dims=("site",),
    coords=lambda recording: recording.site_coords,
    threshold=0.0,
    nulls={
        "random_walk": "it has the growing norm and the size of each unit's steps",
        "random_basis": "it has all norms and angles, and no units",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    note=note,
    draw=draw,
).register()
