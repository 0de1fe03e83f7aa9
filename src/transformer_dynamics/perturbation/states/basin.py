"""Basin profile: share of perturbed states displaced towards the unperturbed trajectory, by radius.

For states x at a distance r from the clean state c in random directions:

    share(r) = P( (d_k - d_0) . d_0 < 0 ),    d_0 = x - c_s,   d_k = F(x) - c_(s + k)

Its width is the radius at which the share first crosses one half, its steepness the slope of the
share there by ln r: negative if states return from near and not from far.

Cost: k sites per state. Source: ours. Limit: basins of the unperturbed trajectory alone.
Documentation: docs/measures/perturbation.basin.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.perturbation.depths import chosen_starts
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    flow_and_zero_update,
    over_texts,
)
from transformer_dynamics.perturbation.states.displacement import (
    spread_of,
    states_at,
    unit_vectors,
)
from transformer_dynamics.perturbation.systems import System, model_and_one_twin
from transformer_dynamics.registry import perturbation
from transformer_dynamics.storage.attributes import STREAM

# A displacement by less than this share of the squared distance is a rounding error.
ROUNDING = 1e-6
RADII = tuple(float(radius) for radius in np.geomspace(1 / 32, 8, 9))


def basin_profile(
    flow: FlowMap, start: str, stop: str, *, directions: Floats, radii: Sequence[float]
) -> Floats:
    """Share of displacements that point inwards, by radius.

    Args:
        flow: the flow map.
        start: site of the perturbed states.
        stop: site at which their distance is measured again.
        directions: `(direction, unit)`, of any length but zero.
        radii: distances from the clean state, in stream units.

    Returns:
        `(radius)`; the denominator is all directions. 0 if the updates ignore the perturbation.

    Raises:
        InputError: as `FlowMap.advance`.
    """
    unit_directions = unit_vectors(np.asarray(directions, dtype=np.float64))
    initial = np.asarray(radii)[:, np.newaxis, np.newaxis] * unit_directions
    clean = flow.clean[flow.sites.index(start)]
    states = (clean + initial).reshape(-1, flow.n_units)
    carried = flow.advance(states, start, stop, keep=[stop])[:, 0]
    final = carried.reshape(initial.shape) - flow.clean[flow.sites.index(stop)]
    is_inward = ((final - initial) * initial).sum(-1) < -ROUNDING * (initial**2).sum(-1)
    share: Floats = is_inward.mean(axis=1)
    return share


def crossing(radii: Sequence[float], share: Floats) -> tuple[float, float]:
    """Radius at which the share first crosses one half, and its slope there by ln radius.

    NaN if it never does.

    >>> radius, slope = crossing([1.0, 2.0, 4.0], np.array([1.0, 0.75, 0.25]))
    >>> round(radius, 3), round(slope, 3)
    (2.828, -0.721)
    """
    is_above = share >= 0.5
    changes = np.flatnonzero(is_above[1:] != is_above[:-1])
    if not changes.size:
        return float("nan"), float("nan")
    at = changes[0]
    logs = np.log(np.asarray(radii, dtype=np.float64))
    slope = (share[at + 1] - share[at]) / (logs[at + 1] - logs[at])
    return float(np.exp(logs[at] + (0.5 - share[at]) / slope)), float(slope)


@perturbation(
    "perturbation.basin",
    title="Basin profiles about the unperturbed trajectory",
    source="ours",
)
def basin(
    systems: Sequence[System],
    *,
    n_texts: int = 20,
    n_directions: int = 16,
    radii: Sequence[float] = RADII,
    n_sites: int = 2,
    starts: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Share of displacements that point inwards, by radius, at several depths of many texts.

    Args:
        systems: the model first, then its untrained twins. Zero update is added.
        n_texts: number of texts.
        n_directions: number of random directions of each text.
        radii: in units of the spread at the site, the root mean square distance of the texts'
            states from their mean.
        n_sites: number of sites of the displacement; fewer at the very end.
        starts: sites of the perturbed states; by default as in `teleport`.
        seed: seed of the choice of texts and of directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `inward_share` `(system, sample, start, radius)`; of its mean over texts `width`, in
        spreads, and `steepness`, per ln radius, `(system, start)`: NaN, with one
        `UndefinedWarning`, if the share does not cross one half. `spread` `(system, start)` in
        stream units.

    Raises:
        InputError: too many texts, or unknown sites.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    model, sites = systems[0], systems[0].sites
    chosen = chosen_starts(sites, starts, call="basin(systems, starts=[{}])")
    steps = {start: sites[min(sites.index(start) + n_sites, len(sites) - 1)] for start in chosen}

    def prepare(system: System) -> Experiment:
        recording = system.recording.load_if_small()
        spread = {start: spread_of(states_at(recording, start)) for start in chosen}

        def experiment(text: int) -> dict[str, xr.Dataset]:
            generator = np.random.default_rng([seed, text])
            directions = generator.standard_normal((n_directions, system.recording.shape[2]))
            flows = flow_and_zero_update(system, text)
            names = list(flows) if system is model else [system.name]
            return {name: _shares(flows[name], steps, directions, radii, spread) for name in names}

        return experiment

    return _with_widths(over_texts(systems, texts, prepare, on_progress=on_progress), radii)


def _shares(
    flow: FlowMap,
    steps: Mapping[str, str],
    directions: Floats,
    radii: Sequence[float],
    spread: Mapping[str, float],
) -> xr.Dataset:
    """Inward shares of one text, `(start, radius)`; `steps` are the later sites by start."""
    shares = [
        basin_profile(
            flow,
            start,
            stop,
            directions=directions,
            radii=[radius * spread[start] for radius in radii],
        )
        for start, stop in steps.items()
    ]
    return xr.Dataset(
        {
            "inward_share": (("start", "radius"), np.stack(shares)),
            "spread": ("start", list(spread.values()), {"units": STREAM}),
        },
        coords={"start": list(steps), "radius": list(radii)},
    )


def _with_widths(result: xr.Dataset, radii: Sequence[float]) -> xr.Dataset:
    mean = result["inward_share"].mean("sample").values
    crossings = np.array([[crossing(radii, share) for share in system] for system in mean])
    warn_undefined(
        {"width": crossings[..., 0]},
        "the inward share does not cross one half within the radii given",
        stacklevel=4,
    )
    dims = ("system", "start")
    result["spread"] = result["spread"].isel(sample=0)
    result["width"] = (dims, crossings[..., 0], {"units": "spreads of the site"})
    result["steepness"] = (dims, crossings[..., 1], {"units": "1 per ln radius"})
    return result
