"""C3: activations grow denser over depth, beyond the growth of their norm.

Statistic: Treves-Rolls population density (mean |x|)^2 / mean(x^2) over units, mean over texts,
last third of the sublayers minus first third. It does not depend on scale.
Source: arXiv 2502.12131, which shows mean |activation|; that grows with the norm alone.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.curves import Curve
from transformer_dynamics.claims.profiles import thirds
from transformer_dynamics.measures.units.density import treves_rolls
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.blocks import per_sample
from transformer_dynamics.recording.recording import Recording

# Units with the largest squares; the statistic is given without them as well.
N_MASSIVE = 2


def profile(recording: Recording, weights: Floats) -> Floats:
    """Mean Treves-Rolls density over texts, `(draw, site)`."""
    return weights @ per_sample(recording, treves_rolls)


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """State the growth of mean |activation|, and the change of density without massive units."""
    n_samples, n_sites, n_units = recording.shape
    sums, squares = np.zeros(2), np.zeros(n_units)
    for _, states in recording.blocks():
        sums += [np.abs(states[:, site]).sum(dtype=np.float64) for site in (0, -1)]
        squares += (states[:, -(n_sites // 3) :].astype(np.float64) ** 2).sum((0, 1))
    first, last = sums / (n_samples * n_units)
    growth = (
        f"Mean |activation|, which grows with the norm alone, goes from {first:.3g} to {last:.3g} "
        "stream units."
    )
    if n_units <= 2 * N_MASSIVE:
        return growth
    massive = np.sort(np.argsort(squares)[-N_MASSIVE:])
    others = per_sample(recording, lambda states: treves_rolls(np.delete(states, massive, axis=2)))
    change = float(thirds(others.mean(axis=0)[np.newaxis])[0])
    named = " and ".join(str(unit) for unit in recording.dataset["unit"].values[massive])
    share = squares[massive].sum() / squares.sum() if squares.sum() > 0 else 0.0
    return (
        f"{growth} Units {named} hold {share:.0%} of the squared norm in the last third of the "
        f"sublayers; without them the change of density is {change:.3g}."
    )


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
    threshold=0.0,
    nulls={
        "random_walk": "keeps the growth of the norm and the size of each unit's steps",
        "random_basis": "keeps all norms and angles and replaces the units by random directions",
        "untrained": UNTRAINED,
    },
    shown=SHUFFLED,
    note=note,
    curve=Curve(
        title="Treves-Rolls density over depth, mean over texts (Gaussian: 0.64)",
        y_label="(mean |x|)² / mean x² over units (1)",
        statistic="density, last third minus first third of sublayers (1)",
        caption="Density of the states by sublayer, mean over texts; it ignores the norm.",
        interpretation=(
            "Denser units require a larger increase than in a random basis, whose directions are "
            "all alike, and than in the untrained network."
        ),
    ),
).register()
