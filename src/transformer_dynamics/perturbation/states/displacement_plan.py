"""Displacements of given sizes at every start: the perturbed states of `perturbation.recovery`.

Sizes are in units of the spread between texts at the site, the root mean square distance of the
texts' states from their mean. The random directions of a kind depend on the text, the start and the
kind alone, so that further kinds, sizes or starts do not change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.states.displacement import (
    KINDS,
    grid_scores,
    on_plane,
    plane_of,
    spread_of,
    states_at,
    towards_others,
    unit_vectors,
)
from transformer_dynamics.perturbation.systems import System

# The size whose paths and predictions are kept: the spread between texts itself.
UNIT_SIZE = 1.0
# Points a side of the paper's grid, of which `n_states` are drawn.
GRID = 10
# A spread below this share of the state's norm is a rounding error.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Plan:
    """Displacements in every text: `n_states` of each kind and size at each start."""

    starts: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: tuple[float, ...]
    n_states: int

    @property
    def unit(self) -> int:
        """Index of the size whose paths and predictions are kept."""
        return self.sizes.index(UNIT_SIZE)

    def check(self, sites: Sequence[str]) -> None:
        """Refuse unknown starts and kinds, and sizes that are not positive or lack 1."""
        unknown = [*(set(self.starts) - set(sites[:-1])), *(set(self.kinds) - set(KINDS))]
        if unknown or not self.kinds:
            raise InputError(
                f"got {', '.join(map(repr, sorted(unknown))) or 'no kinds'}; starts are sites of "
                f"the recording before the last and kinds are any of {', '.join(KINDS)}: "
                f"recovery(systems, starts=[{sites[0]!r}], kinds=['random'])"
            )
        if UNIT_SIZE not in self.sizes or min(self.sizes) <= 0 or not 1 <= self.n_states <= GRID**2:
            raise InputError(
                f"got sizes={self.sizes} and n_states={self.n_states}; sizes are positive, in "
                f"units of the spread between texts and 1 among them, with 1 to {GRID**2} states "
                "each: recovery(systems, sizes=(0.1, 1.0), n_states=2)"
            )


class Displacements:
    """Perturbed states of one system: its plane, and the texts' states and spread by start."""

    def __init__(self, system: System, plan: Plan) -> None:
        self.plan = plan
        recording = system.recording.load_if_small()
        self._axes = plane_of(recording)
        self._states = {start: states_at(recording, start) for start in plan.starts}
        self.spread = {start: spread_of(states) for start, states in self._states.items()}

    def perturbed(self, clean: Floats, start: str, seed: Sequence[int]) -> Floats:
        """Perturbed states, `(kind, size, state, unit)`; NaN if the texts do not differ."""
        sizes = np.array(self.plan.sizes)[:, np.newaxis, np.newaxis]
        if self.spread[start] <= ROUNDING * np.linalg.norm(clean):
            shape = (len(self.plan.kinds), len(sizes), self.plan.n_states, clean.size)
            return np.full(shape, np.nan)
        return np.stack(
            [
                self._on_grid(start, sizes, seed)
                if kind == "grid"
                else clean + sizes * self.spread[start] * self.directions(kind, clean, start, seed)
                for kind in self.plan.kinds
            ]
        )

    def _on_grid(self, start: str, sizes: Floats, seed: Sequence[int]) -> Floats:
        """Points drawn from the grid, scaled about the texts' mean score, `(size, state, unit)`."""
        scores = self._axes.project(self._states[start])
        center = scores.mean(axis=0)
        chosen = _generator(seed, "grid").permutation(GRID**2)[: self.plan.n_states]
        return on_plane(center + sizes * (grid_scores(scores, GRID)[chosen] - center), self._axes)

    def directions(self, kind: str, clean: Floats, start: str, seed: Sequence[int]) -> Floats:
        """Unit vectors of one kind other than `grid`, `(state, unit)`."""
        generator = _generator(seed, kind)
        n_states = self.plan.n_states
        if kind == "shift":
            in_plane: Floats = unit_vectors(generator.standard_normal((n_states, 2)))
            return in_plane @ self._axes.components
        if kind == "random":
            return unit_vectors(generator.standard_normal((n_states, clean.size)))
        others = self._states[start]
        return unit_vectors(towards_others(clean, others, n_states, generator, tolerance=ROUNDING))

    def random_directions(self, flow: FlowMap, seed: Sequence[int]) -> Floats:
        """Unit vectors of the kind `random` at all starts of one text, `(start, state, unit)`."""
        directions = []
        for start in self.plan.starts:
            first = flow.sites.index(start)
            directions.append(self.directions("random", flow.clean[first], start, (*seed, first)))
        return np.stack(directions)


def _generator(seed: Sequence[int], kind: str) -> np.random.Generator:
    return np.random.default_rng([*seed, KINDS.index(kind)])
