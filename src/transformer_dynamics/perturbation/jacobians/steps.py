"""Jacobians of the steps over depth, along the unperturbed trajectory of one text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.depths import layer_sites


def step_jacobians(
    flow: FlowMap, sites: Sequence[str] | None = None, *, at: Floats | None = None
) -> Floats:
    """Jacobians of the steps between sites, `(step, unit, unit)`, outputs in rows.

    Args:
        flow: the flow map.
        sites: ends of the steps; by default those of whole layers.
        at: states at which the Jacobians are taken, `(site, unit)` over all sites of the flow; by
            default the clean trajectory.

    Raises:
        InputError: an unknown site, or sites out of order.
    """
    chosen = layer_sites(flow.sites) if sites is None else tuple(sites)
    states = flow.clean if at is None else at
    matrices: Floats = np.stack(
        [
            flow.jacobian(start, stop, at=states[flow.sites.index(start)]).values
            for start, stop in pairwise(chosen)
        ]
    )
    return matrices


def text_seed(seed: int, text: int) -> int:
    """Seed of the random updates of one text."""
    return int(np.random.SeedSequence((seed, text)).generate_state(1)[0])
