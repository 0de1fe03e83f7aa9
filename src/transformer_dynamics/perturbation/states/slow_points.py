"""Slow points of a step: states that it leaves unchanged, or nearly so.

    q(x) = |F(x) - x|^2 / 2,     gradient (J - I)^T (F(x) - x)

is minimized by L-BFGS. A minimum with q = 0 is a fixed point of the step; one with q > 0 is a slow
point, reported with its residual speed |F(x) - x| and never called fixed.

Cost: a forward and a backward pass of one state per evaluation. Source: Sussillo and Barak (2013).
Limit: a network has other weights at every step, so that a fixed point of one step is none of the
next. Documentation: docs/measures/perturbation.slow_points.md.
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
from transformer_dynamics.perturbation.depths import layer_sites, step_names
from transformer_dynamics.perturbation.driver import Experiment, Progress, chosen_texts, over_texts
from transformer_dynamics.perturbation.systems import System, model_and_one_twin
from transformer_dynamics.registry import perturbation

# The search ends at this gradient, relative to the gradient at the initial state.
TOLERANCE = 1e-7


def find_slow_points(
    flow: FlowMap, start: str, stop: str, initial: Floats, *, max_iterations: int = 200
) -> xr.Dataset:
    """Slow points of the step between two sites, one from each initial state.

    Args:
        flow: the flow map.
        start: site before the step.
        stop: site after the step.
        initial: initial states of the searches, `(candidate, unit)`.
        max_iterations: largest number of iterations of each search.

    Returns:
        `state` `(candidate, unit)`; `speed` = |F(x) - x| and `initial_speed`, in stream units;
        `moved` = |x - initial|; `converged` and `iterations` `(candidate)`.

    Raises:
        InputError: as `FlowMap.advance`, or fewer than one iteration.
    """
    if max_iterations < 1:
        raise InputError(
            f"got max_iterations={max_iterations}; give one at least: "
            "find_slow_points(flow, start, stop, initial, max_iterations=200)"
        )
    first = np.atleast_2d(np.asarray(initial, dtype=np.float64))
    searches = [_search(flow, start, stop, state, max_iterations) for state in first]
    states = np.stack([search.x for search in searches])
    moved = np.linalg.norm(states - first, axis=1)
    speed, initial_speed = (
        np.linalg.norm(flow.advance(each, start, stop, keep=[stop])[:, 0] - each, axis=1)
        for each in (states, first)
    )
    length = {"units": "stream units"}
    return xr.Dataset(
        {
            "state": (("candidate", "unit"), states, length),
            "speed": ("candidate", speed, {**length, "definition": "|F(x) - x|"}),
            "initial_speed": ("candidate", initial_speed, length),
            "moved": ("candidate", moved, length),
            "converged": ("candidate", [bool(search.success) for search in searches]),
            "iterations": ("candidate", [int(search.nit) for search in searches]),
        }
    )


def _search(
    flow: FlowMap, start: str, stop: str, state: Floats, max_iterations: int
) -> scipy.optimize.OptimizeResult:
    """Minimum of q from one state, computed in units of that state's norm."""
    # One tolerance then serves every depth, although the stream's norm grows.
    scale = max(float(np.linalg.norm(state)), 1e-12)

    def objective(point: Floats) -> tuple[float, Floats]:
        here = point * scale
        end, pull_back = flow.linearize(start, stop, at=here)
        change = (end - here) / scale
        (pulled_back,) = pull_back(change[np.newaxis])
        return float(change @ change) / 2, pulled_back - change

    _, gradient = objective(state / scale)
    minimum = scipy.optimize.minimize(
        objective,
        state / scale,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": max_iterations,
            "gtol": TOLERANCE * max(float(np.abs(gradient).max()), 1e-300),
            "ftol": 0.0,
        },
    )
    minimum.x = minimum.x * scale
    return minimum


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
    """Find the slowest state near the clean one, for every layer.

    Args:
        systems: the model first, then its untrained twins.
        n_texts: number of texts.
        max_iterations: largest number of iterations of each search; more find slower points.
        seed: seed of the choice of texts.
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

    def prepare(system: System) -> Experiment:
        return lambda text: {system.name: _of_layers(system.flow(text), sites, max_iterations)}

    result = over_texts(systems, texts, prepare, on_progress=on_progress)
    return result.assign_coords(step=step_names(sites))


def _of_layers(flow: FlowMap, sites: Sequence[str], max_iterations: int) -> xr.Dataset:
    """Slow points of one text, searched for from its clean states, `(step)`."""
    steps = []
    for start, stop in pairwise(sites):
        clean = flow.clean[flow.sites.index(start)]
        points = find_slow_points(flow, start, stop, clean, max_iterations=max_iterations)
        point = points.isel(candidate=0).drop_vars(["state", "iterations"])
        point["speed_ratio"] = point["speed"] / point["initial_speed"]
        point["moved_over_norm"] = point["moved"] / np.linalg.norm(clean)
        steps.append(point)
    return xr.concat(steps, "step")
