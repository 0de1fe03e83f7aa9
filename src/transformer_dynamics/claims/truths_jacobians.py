"""Linear systems on which C9 and C10 are true by construction.

`spectrum_matched_updates` replaces the model's updates by updates with the same singular values in
random bases, `untrained` by those of another twin.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from transformer_dynamics.claims.truths_recovery import linear_system
from transformer_dynamics.nulls.flow_maps import spectrum_matched_updates
from transformer_dynamics.nulls.reruns import N_TWINS
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.jacobians.over_texts import jacobians


def rotating_then_symmetric(seed: int, null: str = "truth") -> xr.Dataset:
    """Jacobians with skew-symmetric updates in the first half and symmetric ones in the second."""

    def steps(rng: np.random.Generator) -> Floats:
        drawn = rng.standard_normal((9, 12, 12))
        turned = np.swapaxes(drawn, 1, 2)
        skew = (np.arange(9) < 4)[:, np.newaxis, np.newaxis]
        mixed = np.where(skew, drawn - turned, drawn + turned) + 0.3 * rng.standard_normal(
            drawn.shape
        )
        scaled: Floats = 2 * mixed / np.linalg.norm(mixed, axis=(1, 2), keepdims=True)
        return np.eye(12) + scaled

    return _jacobians(steps, seed, null)


def aligned_contraction(seed: int, null: str = "truth") -> xr.Dataset:
    """Layers that all keep the same three directions of twelve and shrink the others by half."""

    def steps(rng: np.random.Generator) -> Floats:
        basis = np.linalg.qr(rng.standard_normal((12, 12)))[0]
        keeping: Floats = basis @ np.diag([1.0] * 3 + [0.5] * 9) @ basis.T
        return keeping + 0.02 * rng.standard_normal((8, 12, 12))

    return _jacobians(steps, seed, null)


def _jacobians(steps: Callable[[np.random.Generator], Floats], seed: int, null: str) -> xr.Dataset:
    """The result of `jacobians` on six texts, with untrained twins with Gaussian updates."""

    def gaussian(rng: np.random.Generator) -> Floats:
        n_steps, n_units, _ = steps(np.random.default_rng(0)).shape
        return np.eye(n_units) + 0.3 * rng.standard_normal((n_steps, n_units, n_units))

    def matched(rng: np.random.Generator) -> Floats:
        return spectrum_matched_updates(steps(rng), seed=int(rng.integers(2**31)))

    made = {"truth": steps, "untrained": gaussian, "spectrum_matched_updates": matched}[null]
    n_texts = 6
    systems = []
    for index in range(N_TWINS + 1):
        of = made if index == 0 else gaussian
        rng = np.random.default_rng((seed, index))
        matrices = [of(rng) for _ in range(n_texts)]
        sites = [f"{layer}.state" for layer in range(len(matrices[0]) + 1)]
        name = "model" if index == 0 else f"untrained {index - 1}"
        systems.append(linear_system(name, matrices, sites, seed + index))
    return jacobians(systems, n_texts=n_texts, seed=seed)
