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
        clean = flow.clean[first:]
        unchanged = clean + (states[start] - clean[0])[..., np.newaxis, :]
        carried = np.full_like(unchanged, np.nan)
        if start in ahead:
            carried = ahead.pop(start).reshape(unchanged.shape)
        for system, paths in enumerate((carried, unchanged)):
            logs[system, :, :, :, column, first:] = log_ratios(paths, clean)
            ends[system, :, column] = paths[:, plan.unit, :, -1]
        spread = displacements.spread[start]
        initial[..., column] = initial_distance(carried[..., 0, :], clean[0], spread)
    # Zero by construction: the sum of state and displacement is rounded.
    logs[1, 0] *= 0.0
    return logs, initial, ends


def log_ratios(carried: Floats, clean: Floats) -> Floats:
    """Mean over states of both log ratios, `(reading, kind, size, site)`, in nats.

    Args:
        carried: perturbed states `(kind, size, state, site, unit)`, from their first site on.
        clean: unperturbed trajectory from there on, `(site, unit)`.
    """
    distance = np.linalg.norm(carried - clean, axis=-1)
    normalized = np.linalg.norm(_over_rms(carried) - _over_rms(clean), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(each / each[..., :1]).mean(axis=2) for each in (distance, normalized)]
    return np.stack(logs)


def initial_distance(states: Floats, clean: Floats, spread: float) -> Floats:
    """Geometric mean over states of the initial distance over the spread, `(kind, size)`.

    Args:
        states: perturbed states `(kind, size, state, unit)`.
        clean: clean state at the same site, `(unit)`.
        spread: spread between texts there, in stream units; zero gives NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.linalg.norm(states - clean, axis=-1)).mean(axis=2)
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


def _over_rms(states: Floats) -> Floats:
    """States divided by the root mean square of their units."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled: Floats = states / np.sqrt((states**2).mean(axis=-1, keepdims=True))
    return scaled
