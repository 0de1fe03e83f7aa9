"""Teleport: the last token's state is replaced, and the perturbed state followed to the end.

Distances and ratios are those of `tracking`; perturbed states are those of `displacement`. The
control is zero update, whose layers ignore the perturbation: its relative recovery falls only
because the norm of the stream grows. States of one text are pooled by geometric means, since ratios
multiply over depth.

Cost: one token per state from its layer on. Source: arXiv 2502.12131 for the experiment with the
grid; distances, ratios and controls: ours. Limit: only the last token's state is replaced.
Documentation: docs/measures/perturbation.teleport.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.depths import chosen_starts
from transformer_dynamics.perturbation.driver import (
    Experiment,
    Progress,
    chosen_texts,
    flow_and_zero_update,
    over_texts,
)
from transformer_dynamics.perturbation.states.displacement import (
    KINDS,
    displaced,
    grid_scores,
    on_plane,
    plane_of,
    states_at,
)
from transformer_dynamics.perturbation.states.tracking import example_paths, follow_pooled
from transformer_dynamics.perturbation.systems import System, model_and_one_twin
from transformer_dynamics.registry import perturbation

TITLE = "Teleport: states replaced and followed to the end"
SOURCE = "arXiv 2502.12131; controls and readings: ours"
# Points a side of the paper's grid.
N_GRID = 10
# Points a side of the coarse grid whose trajectories the figure shows.
N_SHOWN = 4


@perturbation("perturbation.teleport", title=TITLE, source=SOURCE)
def teleport(
    systems: Sequence[System],
    *,
    n_texts: int = 8,
    n: int = N_GRID,
    n_other: int = 5,
    starts: Sequence[str] | None = None,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Replace states in many texts, at several depths, and follow them.

    Args:
        systems: the model first, then its untrained twins; see `systems`. Zero update is added.
        n_texts: number of texts, drawn from the texts of the recording.
        n: points a side of the paper's grid.
        n_other: points a side for the other kinds, whose sizes are those of such a grid.
        starts: sites of the replacement; by default the first of layers 0, L/4 - 1, L/2 - 1,
            3L/4 - 1 and L - 1.
        kinds: any of `grid`, `shift`, `random`, `towards`.
        seed: seed of the choice of texts and of directions.
        on_progress: called with texts done and texts in all.

    Returns:
        `(system, sample, kind, start, site)`: the variables of `track_states`, geometric means over
        the states further than `NEAR` times its norm from the clean one, NaN before `start` and
        where there is no such state; `kl` without `site`, the mean over states. For the figure
        `example_score` `(start, point, site, component)` and `example_clean_score` of the first
        text's grid.

    Raises:
        InputError: unknown sites or kinds, or too many texts.
    """
    systems = model_and_one_twin(systems)
    texts = chosen_texts(systems, n_texts, seed)
    model, sites = systems[0], systems[0].sites
    chosen = chosen_starts(sites, starts, call="teleport(systems, starts=[{}])")
    _check(kinds)
    sizes = {kind: n if kind == "grid" else n_other for kind in kinds}
    surroundings = _Surroundings(model, chosen)

    def prepare(system: System) -> Experiment:
        around = surroundings if system is model else _Surroundings(system, chosen)

        def experiment(text: int) -> Mapping[str, xr.Dataset]:
            flows = flow_and_zero_update(system, text)
            if system is not model:
                flows = {system.name: flows[system.name]}
            states = around.perturbed(flows[system.name], sizes, [seed, text])
            return follow_pooled(flows, states, axes=around.axes, tokens=system.predicts)

        return experiment

    result = over_texts(systems, texts, prepare, on_progress=on_progress)
    axes = surroundings.axes
    grids = {start: on_plane(surroundings.grid(start, N_SHOWN), axes) for start in chosen}
    example = example_paths(model.flow(texts[0]), grids, axes)
    return with_example(result, example, kinds, chosen, sites)


def with_example(
    result: xr.Dataset,
    example: xr.Dataset,
    kinds: Sequence[str],
    starts: Sequence[str],
    sites: Sequence[str],
) -> xr.Dataset:
    """Merge a result with the trajectories of its figure; kinds, starts and sites in order."""
    whole: xr.Dataset = xr.merge([result, example], join="outer", compat="no_conflicts")
    return whole.sel(start=list(starts), kind=list(kinds), site=list(sites))


def _check(kinds: Sequence[str]) -> None:
    if not kinds or not set(kinds) <= set(KINDS):
        raise InputError(
            f"got kinds={list(kinds)}; they are any of {', '.join(KINDS)}: "
            "teleport(systems, kinds=['grid'])"
        )


class _Surroundings:
    """Plane of a system's states, and the texts' states at each start."""

    def __init__(self, system: System, starts: Sequence[str]) -> None:
        recording = system.recording.load_if_small()
        self.axes = plane_of(recording)
        self._states = {start: states_at(recording, start) for start in starts}

    def grid(self, start: str, n: int) -> Floats:
        """Grid over the range of the texts' scores at a start, `(point, component)`."""
        return grid_scores(self.axes.project(self._states[start]), n)

    def perturbed(
        self, flow: FlowMap, sizes: Mapping[str, int], seed: Sequence[int]
    ) -> dict[tuple[str, str], Floats]:
        """Perturbed states of one text by kind and start; `sizes` are points a side by kind."""
        states = {}
        for number, (start, others) in enumerate(self._states.items()):
            generator = np.random.default_rng([*seed, number])
            clean = flow.clean[flow.sites.index(start)]
            for kind, n in sizes.items():
                grid = self.grid(start, n)
                states[kind, start] = displaced(kind, clean, grid, self.axes, others, generator)
        return states
