"""Jacobians of several layers together, applied to small displacements.

The Jacobian over a horizon is the product of the Jacobians of its steps along the clean trajectory.
Starts share their steps: the Jacobian of a step is computed once, for all horizons that it is in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.flow_map import FlowMap, Step
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.perturbation.jacobians.ranks import singular_values_of_gram

# Steps whose Jacobians are computed together.
STEPS_AT_ONCE = 8


@dataclass(frozen=True)
class Linearization:
    """Answers of one system to infinitesimal displacements, NaN if it has no derivatives.

    Attributes:
        horizon: number of sites that a displacement is followed over.
        texts: texts whose whole Jacobians are computed.
        refusals: reasons why the model has no derivatives; none are computed after the first.
    """

    horizon: int
    texts: Sequence[int]
    refusals: list[str] = field(default_factory=list)

    def jvp_log_ratio(self, flow: FlowMap, starts: Sequence[str], directions: Floats) -> Floats:
        """Mean of ln |J v| over unit vectors v `(start, vector, unit)`, `(start)`, in nats."""
        if self.refusals:
            return np.full(len(starts), np.nan)
        try:
            carried = carried_changes(flow, starts, directions, self.horizon)
        except ModelError as error:
            self.refusals.append(str(error))
            return np.full(len(starts), np.nan)
        with np.errstate(divide="ignore"):
            logs: Floats = np.log(np.linalg.norm(carried, axis=2)).mean(axis=1)
        return logs

    def contracting_share(self, flow: FlowMap, starts: Sequence[str], text: int) -> Floats:
        """Share of singular values below 1, `(start)`; NaN for a text that is not among `texts`."""
        if self.refusals or text not in self.texts:
            return np.full(len(starts), np.nan)
        return contracting_shares(flow, starts, self.horizon)


def carried_changes(flow: FlowMap, starts: Sequence[str], changes: Floats, horizon: int) -> Floats:
    """Carry infinitesimal changes of the clean state over a horizon: J v for each start.

    Args:
        flow: flow map of one text.
        starts: sites of the changes.
        changes: `(start, change, unit)`.
        horizon: number of sites to the outputs.

    Returns:
        `(start, change, unit)`; NaN if the horizon lies beyond the last site.

    Raises:
        InputError: unknown sites.
        ModelError: the model has no derivatives.

    Cost: one forward derivative per start, over its horizon; neighboring starts share a pass.
    """
    carried = np.full(np.shape(changes), np.nan)
    ends = {start: flow.sites.index(start) + horizon for start in starts}
    within = {start: flow.sites[end] for start, end in ends.items() if end < len(flow.sites)}
    given = dict(zip(starts, changes, strict=True))
    moved = flow.jvp_many({start: given[start] for start in within}, within)
    for run, start in enumerate(starts):
        carried[run] = moved.get(start, np.nan)
    return carried


def contracting_shares(flow: FlowMap, starts: Sequence[str], horizon: int) -> Floats:
    """Share of singular values below 1 of the Jacobian over a horizon, `(start)`.

    Args:
        flow: flow map of one text.
        starts: sites of the inputs.
        horizon: number of sites to the outputs.

    Returns:
        Denominator: units; NaN if the horizon lies beyond the last site.

    Raises:
        InputError: unknown sites.
        ModelError: the model has no derivatives.

    Cost: the Jacobian of every step; per start a matrix product a step and one decomposition.
    """
    products: dict[int, Floats] = {}
    steps = list(_steps(flow, starts, horizon))
    for first in range(0, len(steps), STEPS_AT_ONCE):
        some = steps[first : first + STEPS_AT_ONCE]
        clean = flow.clean[[flow.sites.index(here) for (here, _), _ in some]]
        matrices = flow.jacobians([step for step, _ in some], clean)
        for matrix, (_, passing) in zip(matrices, some, strict=True):
            for run in passing:
                products[run] = matrix @ products[run] if run in products else matrix
    shares = np.full(len(starts), np.nan)
    shares[list(products)] = map_in_threads(_contracting_share, products.values())
    return shares


def _contracting_share(product: Floats) -> float:
    return float((singular_values_of_gram(product.T @ product) < 1).mean())


def _steps(flow: FlowMap, starts: Sequence[str], horizon: int) -> Iterator[tuple[Step, list[int]]]:
    """Steps between the starts and their horizons, each with the indices of runs that pass it."""
    firsts = {run: flow.sites.index(start) for run, start in enumerate(starts)}
    runs = {
        run: (first, first + horizon)
        for run, first in firsts.items()
        if first + horizon < len(flow.sites)
    }
    for here, there in pairwise(sorted({site for ends in runs.values() for site in ends})):
        passing = [run for run, (first, last) in runs.items() if first <= here and there <= last]
        if passing:
            yield (flow.sites[here], flow.sites[there]), passing
