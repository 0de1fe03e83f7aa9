"""Linear systems on which C8 is true by construction: a band of layers contracts.

The null `zero_update` replaces the model's layers by identity matrices, `untrained` by the layers
of another twin.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.nulls.reruns import N_TWINS
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.states.recovery import recovery
from transformer_dynamics.perturbation.systems import System
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

N_TEXTS, N_UNITS, N_LAYERS = 12, 6, 12
BAND, FACTOR = range(3, 7), 0.8


def linear_system(name: str, matrices: Sequence[Floats], sites: Sequence[str], seed: int) -> System:
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
        _band_system(f"untrained {index}", (), factor, (seed, index + 1))
        for index in range(N_TWINS)
    ]
    return recovery(systems, n_texts=N_TEXTS, n_states=2, seed=seed, **options)


@functools.lru_cache(maxsize=16)
def unit_recovery(seed: int, null: str = "truth") -> xr.Dataset:
    """The result of `contracting_band` at size 1, for all kinds; the last few are kept.

    The directions of a kind do not depend on the other kinds: the claims about recovery share one
    result.
    """
    return contracting_band(seed, null, sizes=(1.0,))


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
    return linear_system(name, list(scaled), transformer_labels(N_LAYERS), int(rng.integers(2**31)))


def readout(seed: int, null: str = "truth") -> xr.Dataset:
    """A result of `recovery` with given divergences, since linear flows predict no tokens."""
    result = unit_recovery(seed).sel(kind=["shift"])
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
