"""Slow points of a step: states that it leaves where they are, or nearly.

    q(x) = |F(x) - x|^2 / 2,     gradient (J - I)^T (F(x) - x)

is minimized from several states by L-BFGS. A minimum with q = 0 is a fixed point of the step; one
with q > 0 is a slow point, reported with its residual speed |F(x) - x| and never called fixed.

Cost: an advance and a vector-Jacobian product per evaluation. Source: Sussillo and Barak (2013).
Not handled: fixed points of several steps that no single step has, other than by naming the sites;
a network has other weights at every step, so that a fixed point of one is none of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.optimize
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.systems import (
    Progress,
    ProgressCounter,
    System,
    chosen_texts,
    gathered,
    layer_sites,
    model_and_one_twin,
    step_names,
)
from transformer_dynamics.registry import perturbation

# The gradient at which to stop, over the gradient's size at the initial state.
TOLERANCE = 1e-7


def find_slow_points(
    flow: FlowMap, start: str, stop: str, initial: Floats, *, max_iterations: int = 200
) -> xr.Dataset:
    """Slow points of the step between two sites, one from each initial state.

    Args:
        flow: the flow map.
        start: the site of the step's states.
        stop: the site where they are compared with themselves.
        initial: `(candidate, unit)`, where the searches begin.
        max_iterations: of each search.

    Returns:
        `state` `(candidate, unit)`; `speed` = |F(x) - x| and `initial_speed`, in stream units;
        `moved` = |x - initial|; `converged` and `iterations` `(candidate)`.

    Raises:
        InputError: as `FlowMap.advance`, or fewer than one iteration.
    """
    if max_iterations < 1:
        raise InputError(f"got max_iterations={max_iterations}; give one at least")
    begun = np.atleast_2d(np.asarray(initial, dtype=np.float64))
    rows = [_search(flow, start, stop, state, max_iterations) for state in begun]
    states = np.stack([row.x for row in rows])
    moved = np.linalg.norm(states - begun, axis=1)
    ends, starts = (
        np.linalg.norm(flow.advance(each, start, stop, keep=[stop])[:, 0] - each, axis=1)
        for each in (states, begun)
    )
    length = {"units": "stream units"}
    return xr.Dataset(
        {
            "state": (("candidate", "unit"), states, length),
            "speed": ("candidate", ends, {**length, "definition": "|F(x) - x|"}),
            "initial_speed": ("candidate", starts, length),
            "moved": ("candidate", moved, length),
            "converged": ("candidate", [bool(row.success) for row in rows]),
            "iterations": ("candidate", [int(row.nit) for row in rows]),
        }
    )


def _search(
    flow: FlowMap, start: str, stop: str, state: Floats, max_iterations: int
) -> scipy.optimize.OptimizeResult:
    # In units of the state's own size and of q there, so that one tolerance serves every depth.
    scale = max(float(np.linalg.norm(state)), 1e-12)

    def objective(point: Floats) -> tuple[float, Floats]:
        here = point * scale
        end = flow.advance(here[np.newaxis], start, stop, keep=[stop])[0, 0]
        apart = (end - here) / scale
        (pulled,) = flow.vjp(apart[np.newaxis], start, stop, at=here)
        return float(apart @ apart) / 2, pulled - apart

    _, slope = objective(state / scale)
    found = scipy.optimize.minimize(
        objective,
        state / scale,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": max_iterations,
            "gtol": TOLERANCE * max(float(np.abs(slope).max()), 1e-300),
            "ftol": 0.0,
        },
    )
    found.x = found.x * scale
    return found


@perturbation(
    "perturbation.slow_points",
    title="Slow points of every layer",
    source="after Sussillo and Barak (2013)",
)
def slow_points(
    systems: Sequence[System],
    *,
    n_texts: int = 2,
    max_iterations: int = 15,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """The slowest state near the clean one, for every layer.

    Args:
        systems: the model first, then baselines.
        n_texts: how many texts.
        max_iterations: of each search; more finds slower points.
        seed: of the choice of texts.
        on_progress: called with texts done and texts in all.

    Returns:
        `(system, sample, step)`: `speed`, `initial_speed`, `moved`, in stream units; `speed_ratio`
        = speed / initial speed; `moved_over_norm` = moved / |clean state|; `converged`.

    Raises:
        InputError: too many texts.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    sites = layer_sites(systems[0].sites)
    work = ProgressCounter(len(systems) * n_texts, on_progress)
    results: dict[str, list[xr.Dataset]] = {}
    for system in systems:
        for text in work.each(texts):
            flow = system.flow(text)
            found = []
            for start, stop in pairwise(sites):
                clean = flow.clean[flow.sites.index(start)]
                point = find_slow_points(flow, start, stop, clean, max_iterations=max_iterations)
                one = point.isel(candidate=0).drop_vars(["state", "iterations"])
                one["speed_ratio"] = one["speed"] / one["initial_speed"]
                one["moved_over_norm"] = one["moved"] / np.linalg.norm(clean)
                found.append(one)
            results.setdefault(system.name, []).append(xr.concat(found, "step"))
    return gathered(results, texts, systems[0].recording).assign_coords(step=step_names(sites))
