"""Results of perturbations on which claims are true by construction.

    C8, C8-grid, C8-shift, C8-towards, C8-end   twelve layers of which 3 to 6 contract by 0.8
    C8-readout  displacements whose effect on the prediction is less than that of zero update
    C9          skew-symmetric updates early, symmetric ones late
    C10         layers that all contract the same directions
    C11         predictions that stay the same without a layer

A null of a truth takes the place of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from transformer_dynamics import synthetic
from transformer_dynamics.claims.truths_jacobians import (
    aligned_contraction,
    rotating_then_symmetric,
)
from transformer_dynamics.claims.truths_recovery import (
    FACTOR,
    N_TEXTS,
    readout,
    unit_recovery,
)
from transformer_dynamics.nulls.reruns import N_TWINS
from transformer_dynamics.recording.recording import Recording


@dataclass(frozen=True)
class PerturbedTruth:
    """A system with flow maps on which a claim is true.

    Attributes:
        words: description of the system, for a table.
        result: `(seed, null) -> result` of the claim's perturbation, of the truth or of a null.
    """

    words: str
    result: Callable[[int, str], xr.Dataset]

    @property
    def recording(self) -> Recording:
        """A recording of the texts; claims about perturbations do not use it."""
        return synthetic.random_walk(n_samples=N_TEXTS, n_sites=8, n_units=4)


def robust_layers(seed: int, null: str = "truth") -> xr.Dataset:
    """A result of `skip_and_swap` with given agreements: no linear flow predicts tokens."""
    rng = np.random.default_rng(seed)
    names = ["model", *(f"untrained {index}" for index in range(N_TWINS))]
    edits = ["skip", "swap", "turned", "moved"]
    kept = {"truth": (0.9, 0.7, 0.6, 0.75), "moved": (0.9, 0.7, 0.6, 0.9)}
    level = np.full((len(names), 1, len(edits), 1), 0.8)
    level[0, 0, :, 0] = kept.get(null, (0.8, 0.8, 0.8, 0.8))
    of_system = 0.02 * rng.standard_normal((len(names), 1, 1, 1))
    noise = 0.05 * rng.standard_normal((len(names), N_TEXTS, len(edits), 8))
    return xr.Dataset(
        {"agreement": (("system", "sample", "edit", "layer"), level + of_system + noise)},
        coords={"system": names, "edit": edits, "layer": np.arange(8)},
    )


def _band_truth(kind: str) -> PerturbedTruth:
    return PerturbedTruth(
        f"layers 3 to 6 of 12 contract by {FACTOR}",
        lambda seed, null: unit_recovery(seed, null).sel(kind=[kind]),
    )


PERTURBED = {
    "C8": _band_truth("random"),
    "C8-grid": _band_truth("grid"),
    "C8-shift": _band_truth("shift"),
    "C8-towards": _band_truth("towards"),
    "C8-end": _band_truth("random"),
    "C8-readout": PerturbedTruth("KL of 0.3 of that of zero update", readout),
    "C9": PerturbedTruth("skew-symmetric updates, then symmetric ones", rotating_then_symmetric),
    "C10": PerturbedTruth("layers that keep the same directions", aligned_contraction),
    "C11": PerturbedTruth("agreement of 0.9 without a layer, 0.75 displaced", robust_layers),
}
