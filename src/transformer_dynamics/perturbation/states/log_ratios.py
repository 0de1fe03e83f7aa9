"""Log ratios of distances over depth: the readings of `perturbation.recovery`.

    log ratio              ln |x_t - c_t| / |x_s - c_s|         below 0: the displacement shrinks
    normalized log ratio   the same of x / rms(x), the input of an RMSNorm

x is a perturbed state, c the unperturbed trajectory. Several states of one text are pooled by means
of logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.states.displacement_plan import Displacements


def carried_log_ratios(
    flow: FlowMap, displacements: Displacements, seed: tuple[int, int]
) -> tuple[Floats, Floats, Floats]:
    """Carry all displacements of one text to the last site, by the flow and by zero update.

    Args:
        flow: flow map of the text.
        displacements: plan and surroundings of its system.
        seed: seed of the run and index of the text.

    Returns:
        Log ratios `(system, reading, kind, size, start, site)`, in nats; initial distances over
        the spread `(kind, size, start)`; final states at size 1 `(system, kind, start, state,
        unit)`. NaN before the start and where the texts do not differ.
    """
    plan = displacements.plan
    shape = (len(plan.kinds), len(plan.sizes), len(plan.starts))
    logs = np.full((2, 2, *shape, len(flow.sites)), np.nan)
    initial = np.full(shape, np.nan)
    ends = np.full((2, len(plan.kinds), len(plan.starts), plan.n_states, flow.n_units), np.nan)
    states = {
        start: displacements.perturbed(flow.clean[first], start, (*seed, first))
        for start, first in zip(plan.starts, map(flow.sites.index, plan.starts), strict=True)
    }
    flat = {
        start: each.reshape(-1, flow.n_units)
        for start, each in states.items()
        if np.isfinite(each).all()
    }
    ahead = flow.advance_many(flat, flow.sites[-1])
    for column, start in enumerate(plan.starts):
        first = flow.sites.index(start)
        clean, given = flow.clean[first:], states[start]
        moved = given - clean[0]
        logs[1, ..., column, first:] = log_ratios(*_of_zero_update(moved, clean), clean)
        ends[1, :, column] = clean[-1] + moved[:, plan.unit]
        initial[..., column] = initial_distance(moved, displacements.spread[start])
        if start in ahead:
            deviations = ahead.pop(start).reshape(*moved.shape[:-1], *clean.shape)
            deviations -= clean
            logs[0, ..., column, first:] = log_ratios(*_products(deviations, clean), clean)
            ends[0, :, column] = clean[-1] + deviations[:, plan.unit, :, -1]
    # Zero by construction: the sum of state and displacement is rounded.
    logs[1, 0] *= 0.0
    return logs, initial, ends


def _products(deviations: Floats, clean: Floats) -> tuple[Floats, Floats]:
    """Squared lengths of deviations `(..., site, unit)`, and their products with `clean`."""
    squares = np.einsum("...u,...u->...", deviations, deviations)
    products = np.einsum("...u,...u->...", deviations, clean)
    return squares, products


def _of_zero_update(moved: Floats, clean: Floats) -> tuple[Floats, Floats]:
    """The same of deviations `(..., unit)` that are kept at all sites."""
    products: Floats = moved @ clean.T
    squares = (moved**2).sum(axis=-1, keepdims=True)
    return np.broadcast_to(squares, products.shape), products


def log_ratios(squares: Floats, products: Floats, clean: Floats) -> Floats:
    """Mean over states of both log ratios, `(reading, kind, size, site)`, in nats.

    With the deviation d of a state x = c + d, the squared distance of x / |x| from c / |c| is
    2 (1 - cos), computed from |d| so that small deviations lose no digits:

        1 - cos = (|d|^2 |c|^2 - (d.c)^2) / (|x| |c| (|x| |c| + x.c))

    Args:
        squares: |d|^2 of perturbed states `(kind, size, state, site)`, from their first site on.
        products: d.c, of the same shape.
        clean: unperturbed trajectory c from there on, `(site, unit)`.
    """
    clean_squares = (clean**2).sum(axis=-1)
    inner = clean_squares + products
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = np.sqrt(np.maximum(inner + products + squares, 0.0) * clean_squares)
        across = np.maximum(squares * clean_squares - products**2, 0.0)
        angles = np.where(inner > 0, across / (lengths * (lengths + inner)), 1 - inner / lengths)
        # The factors sqrt(2) and sqrt(units) cancel.
        logs = [0.5 * np.log(each / each[..., :1]).mean(axis=2) for each in (squares, angles)]
    return np.stack(logs)


def initial_distance(moved: Floats, spread: float) -> Floats:
    """Geometric mean over states of the initial distance over the spread, `(kind, size)`.

    Args:
        moved: displacements `(kind, size, state, unit)`.
        spread: spread between texts there, in stream units; zero gives NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.linalg.norm(moved, axis=-1)).mean(axis=2)
        distance: Floats = np.exp(logs) / (spread or np.nan)
    return distance


def at_horizons(
    logs: Floats, starts: Sequence[str], sites: Sequence[str], horizons: Sequence[int]
) -> Floats:
    """Select the values at some horizons and at the last site, `(kind, size, start, horizon)`.

    Args:
        logs: `(kind, size, start, site)`.
        starts: sites of the perturbations.
        sites: all sites in order of depth.
        horizons: numbers of sites after the start; NaN beyond the last site.
    """
    values = np.full((*logs.shape[:-1], len(horizons) + 1), np.nan)
    values[..., -1] = logs[..., -1]
    for row, start in enumerate(starts):
        for column, horizon in enumerate(horizons):
            site = sites.index(start) + horizon
            if site < len(sites):
                values[:, :, row, column] = logs[:, :, row, site]
    return values
