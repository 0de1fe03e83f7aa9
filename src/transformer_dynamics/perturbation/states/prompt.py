"""Teleport of one prompt in one call: its last token's state replaced by a grid in the plane.

    td.teleport(model, "Paris is the capital of", at="7.pre_attn", plane=recording).td.plot()

The experiment is `perturbation.teleport` with one text and the kind `grid`, and so are its
variables and figures; see there for controls and readings. Cost: one token per state from its layer
on, and a principal component analysis where the plane is given as a recording. Source: arXiv
2502.12131. Limit: no interval, since there is one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation.driver import along_samples
from transformer_dynamics.perturbation.states.displacement import (
    grid_scores,
    on_plane,
    plane_of,
    square_corners,
    states_at,
)
from transformer_dynamics.perturbation.states.teleport import (
    N_GRID,
    N_SHOWN,
    SOURCE,
    TITLE,
    with_example,
)
from transformer_dynamics.perturbation.states.tracking import example_paths, follow_pooled
from transformer_dynamics.perturbation.systems import MODEL, ZERO_UPDATE
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stamping import stamped

# Half the side of the paper's grid, in stream units.
HALF_RANGE = 15.0
GRID = "grid"


def _describe(model: Any, prompt: Any, plane: Recording | PrincipalAxes) -> dict[str, Any]:
    """Entries of the result's attrs."""
    described = plane.description if isinstance(plane, Recording) else "principal axes as given"
    return {"model": str(getattr(model, "name", model)), "prompt": prompt, "plane": described}


@partial(stamped, names=("perturbation.teleport", TITLE, SOURCE), describe=_describe)
def teleport(
    model: Any,
    prompt: str | Sequence[int],
    *,
    plane: Recording | PrincipalAxes,
    at: str | Sequence[str],
    n: int = N_GRID,
    half_range: float | None = None,
) -> xr.Dataset:
    """Replace the last token's state of one prompt by a grid in the plane, and follow it.

    Args:
        model: the model, or anything that `td.load_model` takes.
        prompt: one text, or its token ids.
        plane: recording whose first two principal components, without the final site, span the
            plane; or the axes themselves, of which the first two count.
        at: site of the replacement, or several.
        n: points a side of the grid.
        half_range: half the side of the grid about the plane's center, in stream units; by default
            the grid spans the scores of the recording's texts at the site, and half the side is 15
            where the plane is given as axes.

    Returns:
        The variables of `perturbation.teleport`, `(system, sample, kind, start, site)`, for the
        systems `model` and `zero_update`, one sample and the kind `grid`; `.td.plot()` draws them.

    Raises:
        InputError: unknown sites, no tokens, a plane of another width, or a grid without extent.
    """
    from transformer_dynamics.model.loading import as_model

    model = as_model(model)
    starts = (at,) if isinstance(at, str) else tuple(at)
    _check(model.sites, starts, plane, half_range)
    flow = model.flow_map(prompt)
    axes = _plane(plane, flow.n_units)
    corners = {start: _corners(plane, axes, start, half_range) for start in starts}
    flows = {MODEL: flow, ZERO_UPDATE: zero_update(flow)}
    states = {
        (GRID, start): on_plane(grid_scores(scores, n), axes) for start, scores in corners.items()
    }
    followed = follow_pooled(flows, states, axes=axes, tokens=model.predicts)
    result = along_samples({name: [each] for name, each in followed.items()}, [0], np.zeros(1, int))
    shown = {
        start: on_plane(grid_scores(scores, N_SHOWN), axes) for start, scores in corners.items()
    }
    return with_example(result, example_paths(flow, shown, axes), [GRID], starts, flow.sites)


def _check(
    sites: Sequence[str],
    starts: Sequence[str],
    plane: Recording | PrincipalAxes,
    half_range: float | None,
) -> None:
    call = f"td.teleport(model, prompt, at={sites[0]!r}, plane=recording)"
    if not isinstance(plane, Recording | PrincipalAxes):
        raise InputError(
            f"got a plane of type {type(plane).__name__}; it is a recording or PrincipalAxes: "
            f"{call}"
        )
    known = set(sites)
    if isinstance(plane, Recording) and half_range is None:
        known &= set(plane.sites)
    unknown = [start for start in starts if start not in known]
    if unknown or not starts:
        raise InputError(
            f"got at={list(starts)}; it names one or more sites of the model, and of the recording "
            f"that gives the range: {', '.join(sites[:4])}, ... {sites[-1]}: {call}"
        )
    if half_range is not None and not (np.isfinite(half_range) and half_range > 0):
        raise InputError(
            f"got half_range={half_range}; it is positive, in stream units: "
            f"{call[:-1]}, half_range={HALF_RANGE})"
        )


def _plane(plane: Recording | PrincipalAxes, n_units: int) -> PrincipalAxes:
    """First two axes of the plane, refused unless they fit the model."""
    width = plane.shape[2] if isinstance(plane, Recording) else plane.mean.size
    n_axes = 2 if isinstance(plane, Recording) else len(plane.components)
    if width != n_units or n_axes < 2:
        raise InputError(
            f"got a plane of {n_axes} axes in {width} units; the model's states have {n_units} "
            "units and the plane has two axes: plane=td.record(model, texts)"
        )
    if isinstance(plane, Recording):
        return plane_of(plane)
    return PrincipalAxes(plane.mean, plane.components[:2], plane.variance[:2], plane.total_variance)


def _corners(
    plane: Recording | PrincipalAxes, axes: PrincipalAxes, start: str, half_range: float | None
) -> Floats:
    """Scores whose range the grid spans, `(sample, component)`."""
    if isinstance(plane, Recording) and half_range is None:
        return axes.project(states_at(plane, start))
    return square_corners(HALF_RANGE if half_range is None else half_range)
