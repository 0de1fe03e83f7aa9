"""Jacobians of several layers together, applied to small displacements.

The Jacobian over a horizon is the product of those of its steps along the clean trajectory. Runs
from many starts share their steps: a step's derivative is taken once, for all runs that pass it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats


def carried_changes(flow: FlowMap, starts: Sequence[str], changes: Floats, horizon: int) -> Floats:
    """Carry infinitesimal changes of the clean state over a horizon: J v for each start.

    Args:
        flow: the flow map of one text.
        starts: sites of the changes.
        changes: `(start, change, unit)`.
        horizon: sites to the outputs.

    Returns:
        `(start, change, unit)`; NaN where the horizon lies beyond the last site.

    Raises:
        InputError: unknown sites.
        ModelError: the model has no derivatives.

    Cost: a forward derivative per step, of the changes that are on their way.
    """
    carried = np.array(changes, dtype=np.float64)
    ends = np.array([flow.sites.index(start) + horizon for start in starts])
    carried[ends >= len(flow.sites)] = np.nan
    for (here, there), passing in _steps(flow, starts, horizon):
        moved = flow.jvp(carried[passing].reshape(-1, flow.n_units), here, there)
        carried[passing] = moved.reshape(len(passing), *carried.shape[1:])
    return carried


def contracting_shares(flow: FlowMap, starts: Sequence[str], horizon: int) -> Floats:
    """Share of singular values below 1 of the Jacobian over a horizon, `(start)`.

    Args:
        flow: the flow map of one text.
        starts: sites of the inputs.
        horizon: sites to the outputs.

    Returns:
        Denominator: units; NaN where the horizon lies beyond the last site.

    Raises:
        InputError: unknown sites.
        ModelError: the model has no derivatives.

    Cost: the Jacobian of every step; per start a matrix product a step and one decomposition.
    """
    products: dict[int, Floats] = {}
    for (here, there), passing in _steps(flow, starts, horizon):
        matrix = flow.jacobian(here, there)
        for place in passing:
            products[place] = matrix @ products[place] if place in products else matrix
    shares = np.full(len(starts), np.nan)
    for place, product in products.items():
        shares[place] = (np.linalg.svd(product, compute_uv=False) < 1).mean()
    return shares


def _steps(
    flow: FlowMap, starts: Sequence[str], horizon: int
) -> Iterator[tuple[tuple[str, str], list[int]]]:
    """Steps that lead from the starts to their horizons, and which starts pass each."""
    firsts = {place: flow.sites.index(start) for place, start in enumerate(starts)}
    runs = {
        place: (first, first + horizon)
        for place, first in firsts.items()
        if first + horizon < len(flow.sites)
    }
    for here, there in pairwise(sorted({site for run in runs.values() for site in run})):
        passing = [
            place for place, (first, last) in runs.items() if first <= here and there <= last
        ]
        if passing:
            yield (flow.sites[here], flow.sites[there]), passing
