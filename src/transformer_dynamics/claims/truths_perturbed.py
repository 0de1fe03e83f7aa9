"""Synthetic flow maps on which the claims about perturbations are true by construction.

    C8, C8-grid, C8-shift, C8-towards, C8-end   twelve layers of which 3 to 6 contract by 0.8
    C8-readout  displacements whose effect on the prediction is less than that of zero update
    C9          skew-symmetric updates early, symmetric ones late
    C10         layers that all contract the same directions
    C11         agreements that stay high without a layer

A null of a truth takes the place of the model: identity matrices for zero update, updates with the
same singular values in random bases, one more untrained twin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics import synthetic
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.nulls.flow_maps import spectrum_matched_updates
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.jacobians.over_texts import jacobians
from transformer_dynamics.perturbation.states.recovery import recovery
from transformer_dynamics.perturbation.systems import System
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

Matrices = Callable[[int], Floats]

N_TWINS = 8
N_TEXTS, N_UNITS, N_LAYERS = 12, 6, 12
BAND, FACTOR = range(3, 7), 0.8


@dataclass(frozen=True)
class PerturbedTruth:
    """A system with flow maps on which a claim is true.

    Attributes:
        words: what it is, for a table.
        result: `(seed, null) -> result` of the claim's perturbation, of the truth or of a null.
    """

    words: str
    result: Callable[[int, str], xr.Dataset]

    @property
    def recording(self) -> Recording:
        """A recording of the texts, which claims about perturbations do not look at."""
        return synthetic.random_walk(n_samples=N_TEXTS, n_sites=8, n_units=4)


def system(name: str, matrices: Sequence[Floats], sites: Sequence[str], seed: int) -> System:
    """A linear system: a flow map per text, from random first states."""
    first = np.random.default_rng(seed).standard_normal((len(matrices), matrices[0].shape[-1]))
    flows = []
    for steps, state in zip(matrices, first, strict=True):
        flow = LinearFlowMap(steps, first=state)
        flow.sites = tuple(sites)
        flows.append(flow)
    states = np.stack([flow.clean for flow in flows])
    return System(name, Recording.from_array(states, sites=sites), flows.__getitem__)


def contracting_band(
    seed: int,
    null: str = "truth",
    *,
    band: Sequence[int] = BAND,
    factor: float = FACTOR,
    **options: Any,
) -> xr.Dataset:
    """The result of `recovery` on layers of which a band contracts, and on its untrained twins."""
    model_band = {"truth": band, "zero_update": (), "untrained": ()}[null]
    systems = [_band_system("model", model_band, factor, (seed, 0), exact=null == "zero_update")]
    systems += [
        _band_system(f"untrained {place}", (), factor, (seed, place + 1))
        for place in range(N_TWINS)
    ]
    return recovery(systems, n_texts=N_TEXTS, n_states=2, seed=seed, **options)


def _band_system(
    name: str, band: Sequence[int], factor: float, seed: tuple[int, int], *, exact: bool = False
) -> System:
    """Layers whose factor is 1 but in the band, with noise that differs by layer and by text."""
    rng = np.random.default_rng(seed)
    steps = np.sqrt([factor if layer in band else 1.0 for layer in range(N_LAYERS)]).repeat(2)
    spread = 0.0 if exact else 0.004
    of_layer = 1 + spread * rng.standard_normal(2 * N_LAYERS)
    of_text = 1 + 2 * spread * rng.standard_normal((N_TEXTS, 2 * N_LAYERS))
    scaled = (steps * of_layer * of_text)[..., np.newaxis, np.newaxis] * np.eye(N_UNITS)
    return system(name, list(scaled), transformer_labels(N_LAYERS), int(rng.integers(2**31)))


def readout(seed: int, null: str = "truth") -> xr.Dataset:
    """A result of `recovery` with given divergences, since linear flows predict no tokens."""
    result = contracting_band(seed, kinds=("shift",), sizes=(1.0,))
    rng = np.random.default_rng(seed)
    dims = ("system", "sample", "kind", "start")
    shape = tuple(result.sizes[dim] for dim in dims)
    is_model = (result["system"].values == "model")[:, np.newaxis, np.newaxis, np.newaxis]
    level = np.where(is_model & (null == "truth"), np.log(0.3), np.log(0.8))
    of_system = 0.1 * rng.standard_normal((shape[0], 1, 1, 1))
    ratios = np.exp(level + of_system + 0.3 * rng.standard_normal(shape))
    measured = result["log_ratio"].notnull().any(["size", "start", "horizon", "kind"])
    return result.assign(kl_ratio=(dims, ratios)).assign(
        kl_ratio=lambda made: made["kl_ratio"].where(measured)
    )


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
    """The result of `jacobians` on five texts, beside untrained twins with Gaussian updates."""

    def gaussian(rng: np.random.Generator) -> Floats:
        n_steps, n_units, _ = steps(np.random.default_rng(0)).shape
        return np.eye(n_units) + 0.3 * rng.standard_normal((n_steps, n_units, n_units))

    def matched(rng: np.random.Generator) -> Floats:
        return spectrum_matched_updates(steps(rng), seed=int(rng.integers(2**31)))

    made = {"truth": steps, "untrained": gaussian, "spectrum_matched_updates": matched}[null]
    n_texts = 6
    systems = []
    for place in range(N_TWINS + 1):
        of = made if place == 0 else gaussian
        rng = np.random.default_rng((seed, place))
        matrices = [of(rng) for _ in range(n_texts)]
        sites = [f"{layer}.state" for layer in range(len(matrices[0]) + 1)]
        name = "model" if place == 0 else f"untrained {place - 1}"
        systems.append(system(name, matrices, sites, seed + place))
    return jacobians(systems, n_texts=n_texts, seed=seed)


def robust_layers(seed: int, null: str = "truth") -> xr.Dataset:
    """A result of `skip_and_swap` with given agreements: no linear flow predicts tokens."""
    rng = np.random.default_rng(seed)
    names = ["model", *(f"untrained {place}" for place in range(N_TWINS))]
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
        lambda seed, null: contracting_band(seed, null, kinds=(kind,), sizes=(1.0,)),
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
