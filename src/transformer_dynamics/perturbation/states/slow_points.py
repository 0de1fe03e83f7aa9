"""Slow points of a step: states that it leaves unchanged, or nearly so.

    q(x) = |F(x) - x|^2 / 2,     gradient (J - I)^T (F(x) - x)

is minimized by L-BFGS. A minimum with q = 0 is a fixed point of the step; one with q > 0 is a slow
point, reported with its residual speed |F(x) - x| and never called fixed.

Cost: a forward and a backward pass of one state per evaluation, which the searches of all layers
share. Source: Sussillo and Barak (2013).
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
from transformer_dynamics.model.flow_map import FlowMap, Step
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.depths import layer_sites, step_names
from transformer_dynamics.perturbation.driver import Experiment, Progress, chosen_texts, over_texts
from transformer_dynamics.perturbation.lockstep import minimize_together
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
    first = np.atleast_2d(np.asarray(initial, dtype=np.float64))
    step = (start, stop)
    return xr.concat(
        [_searched(flow, [step], state[np.newaxis], max_iterations) for state in first], "candidate"
    )


def _searched(
    flow: FlowMap, steps: Sequence[Step], first: Floats, max_iterations: int
) -> xr.Dataset:
    """Slow points of steps that do not overlap, one from the state `(step, unit)` before each."""
    if max_iterations < 1:
        raise InputError(
            f"got max_iterations={max_iterations}; give one at least: "
            "find_slow_points(flow, start, stop, initial, max_iterations=200)"
        )
    searches, states = _search(flow, steps, first, max_iterations)
    ends = np.stack([flow.linearize_steps(steps, each)[0] for each in (states, first)])
    speed, initial_speed = np.linalg.norm(ends - [states, first], axis=2)
    length = {"units": "stream units"}
    return xr.Dataset(
        {
            "state": (("candidate", "unit"), states, length),
            "speed": ("candidate", speed, {**length, "definition": "|F(x) - x|"}),
            "initial_speed": ("candidate", initial_speed, length),
            "moved": ("candidate", np.linalg.norm(states - first, axis=1), length),
            "converged": ("candidate", [bool(search.success) for search in searches]),
            "iterations": ("candidate", [int(search.nit) for search in searches]),
        }
    )


def _search(
    flow: FlowMap, steps: Sequence[Step], first: Floats, max_iterations: int
) -> tuple[list[scipy.optimize.OptimizeResult], Floats]:
    """Searches for the minimum of q of each step, and the states where they end.

    Every search computes in units of the norm of its first state.
    """
    # One tolerance then serves every depth, although the stream's norm grows.
    scale = np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)

    def evaluate(chosen: Sequence[int], points: Floats) -> tuple[Floats, Floats]:
        here = points * scale[chosen]
        ends, pull_back = flow.linearize_steps([steps[index] for index in chosen], here)
        change = (ends - here) / scale[chosen]
        return (change**2).sum(axis=1) / 2, pull_back(change) - change

    _, gradients = evaluate(range(len(steps)), first / scale)
    options = [
        {"maxiter": max_iterations, "gtol": TOLERANCE * max(float(size), 1e-300), "ftol": 0.0}
        for size in np.abs(gradients).max(axis=1)
    ]
    searches = minimize_together(evaluate, first / scale, options)
    return searches, np.stack([search.x for search in searches]) * scale


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
    clean = flow.clean[[flow.sites.index(site) for site in sites[:-1]]]
    found = _searched(flow, list(pairwise(sites)), clean, max_iterations)
    points = found.drop_vars(["state", "iterations"]).rename(candidate="step")
    points["speed_ratio"] = points["speed"] / points["initial_speed"]
    points["moved_over_norm"] = points["moved"] / np.linalg.norm(clean, axis=1)
    return points
