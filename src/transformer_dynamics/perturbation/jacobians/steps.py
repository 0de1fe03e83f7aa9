"""Jacobians of the steps over depth, along the unperturbed trajectory of one text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.depths import layer_sites
from transformer_dynamics.perturbation.systems import System, is_further_twin

# Texts of a system whose step Jacobians stay in memory.
TEXTS_KEPT = 2


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
    steps = list(pairwise(chosen))
    unknown = [site for site in chosen if site not in flow.sites]
    if unknown or not steps:
        raise InputError(
            f"got sites={list(chosen)}; they are two or more of {', '.join(flow.sites[:4])}, ... "
            f"{flow.sites[-1]}: step_jacobians(flow, sites={list(flow.sites[:2])})"
        )
    return flow.jacobians(steps, states[[flow.sites.index(start) for start, _ in steps]])


def steps_of_text(system: System, text: int, sites: Sequence[str] | None = None) -> Floats:
    """Jacobians of the steps along one text, computed once for several perturbations.

    The first `TEXTS_KEPT` texts of the model and of its first twin stay in memory: 40 MB each for
    30 layers of 576 units in float32, in which a model of that precision gives them.

    Args:
        system: the system.
        text: index of the text.
        sites: ends of the steps; by default those of whole layers.
    """
    chosen = layer_sites(system.sites) if sites is None else tuple(sites)
    kept = system.steps.get((text, chosen))
    if kept is not None:
        return kept.astype(np.float64)
    matrices = step_jacobians(system.flow(text), chosen)
    if len(system.steps) < TEXTS_KEPT and not is_further_twin(system.name):
        single = matrices.astype(np.float32)
        is_exact = all(map(np.array_equal, single, matrices))
        system.steps[text, chosen] = single if is_exact else matrices
    return matrices


def text_seed(seed: int, text: int) -> int:
    """Seed of the random updates of one text."""
    return int(np.random.SeedSequence((seed, text)).generate_state(1)[0])
