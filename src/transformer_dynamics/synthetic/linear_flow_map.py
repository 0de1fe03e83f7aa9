"""Flow map whose Jacobians are known matrices: `x -> A x + b` from each site to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.model.labels import state_labels
from transformer_dynamics.numerics.arrays import Floats


class LinearFlowMap(FlowMap):
    """Flow x[s+1] = A[s] x[s] + b[s], whose answers are all known.

    >>> flow = LinearFlowMap.contraction(n_sites=4, n_units=2, factor=0.5)
    >>> flow.advance([[8.0, 0.0]], start="0.state", stop="3.state")[0, :, 0]
    array([8., 4., 2., 1.])
    """

    def __init__(
        self,
        matrices: ArrayLike,
        offsets: ArrayLike | None = None,
        *,
        first: ArrayLike | None = None,
        name: str = "linear",
    ) -> None:
        """Build the flow and its unperturbed trajectory.

        Args:
            matrices: `(step, unit, unit)`, outputs in rows.
            offsets: `(step, unit)`; by default zero.
            first: unperturbed state at the first site, `(unit)`; by default all ones.
            name: name in results.

        Raises:
            InputError: the shapes do not fit.
        """
        steps: Floats = np.asarray(matrices, dtype=np.float64)
        # A read-only array, as one matrix broadcast over steps, needs no copy.
        steps = steps.copy() if steps.flags.writeable else steps
        if steps.ndim != 3 or steps.shape[1] != steps.shape[2] or 0 in steps.shape:
            raise InputError(
                f"got matrices of shape {steps.shape}; they are (step, unit, unit): "
                "LinearFlowMap(np.stack([np.eye(2)] * 5))"
            )
        n_steps, n_units = steps.shape[:2]
        self._matrices = steps
        self._offsets: Floats = (
            np.zeros((n_steps, n_units)) if offsets is None else np.array(offsets, dtype=np.float64)
        )
        state = np.ones(n_units) if first is None else np.array(first, dtype=np.float64)
        if self._offsets.shape != (n_steps, n_units) or state.shape != (n_units,):
            raise InputError(
                f"got offsets of shape {self._offsets.shape} and a first state of shape "
                f"{state.shape}; for these matrices they are {(n_steps, n_units)} and "
                f"{(n_units,)}"
            )
        self.name = name
        self._head: FlowMap | None = None
        self.sites = tuple(state_labels(n_steps + 1))
        trajectory = [state]
        for matrix, offset in zip(steps, self._offsets, strict=True):
            trajectory.append(matrix @ trajectory[-1] + offset)
        self.clean = np.stack(trajectory)

    @classmethod
    def zero_update(cls, n_sites: int, n_units: int, first: ArrayLike | None = None) -> FlowMap:
        """Stack whose layers add nothing, so that an injected state never changes."""
        return cls.contraction(n_sites, n_units, 1.0, first=first, name="zero update")

    @classmethod
    def contraction(
        cls,
        n_sites: int,
        n_units: int,
        factor: float,
        *,
        first: ArrayLike | None = None,
        name: str = "contraction",
    ) -> FlowMap:
        """Steps that multiply the state, and so every distance, by one factor."""
        steps = np.broadcast_to(factor * np.eye(n_units), (n_sites - 1, n_units, n_units))
        return cls(steps, first=first, name=name)

    @classmethod
    def rotation(cls, n_sites: int, angle: float, *, first: ArrayLike | None = None) -> FlowMap:
        """Rotation of two units by the same angle at each step, in radians."""
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        return cls(np.stack([turn] * (n_sites - 1)), first=first, name="rotation")

    @classmethod
    def residual(cls, weights: ArrayLike, *, first: ArrayLike | None = None) -> FlowMap:
        """Residual stack of linear layers with steps I + W, for known `W` `(step, unit, unit)`."""
        updates: Floats = np.asarray(weights, dtype=np.float64)
        return cls(updates + np.eye(updates.shape[-1]), first=first, name="residual")

    @classmethod
    def around(cls, flow: FlowMap, matrices: ArrayLike, *, name: str) -> LinearFlowMap:
        """Flow with the same unperturbed trajectory whose deviations from it follow matrices.

        Args:
            flow: flow that gives the unperturbed trajectory and reads tokens from final states.
            matrices: `(step, unit, unit)`; a step's matrix times the deviation at one site is the
                deviation at the next.
            name: name in results.
        """
        steps = np.asarray(matrices, dtype=np.float64)
        carried = np.einsum("suv,sv->su", steps, flow.clean[:-1], optimize=True)
        linear = cls(steps, flow.clean[1:] - carried, first=flow.clean[0], name=name)
        linear.sites, linear.clean, linear._head = flow.sites, flow.clean, flow
        return linear

    def _steps(self, start: str, stop: str) -> range:
        return range(self.sites.index(start), self.sites.index(stop))

    def _advance(self, states: Floats, start: str, stop: str, keep: tuple[str, ...]) -> Floats:
        kept = {start: states}
        for step in self._steps(start, stop):
            states = states @ self._matrices[step].T + self._offsets[step]
            kept[self.sites[step + 1]] = states
        return np.stack([kept[label] for label in keep], axis=1)

    def _log_probabilities(self, states: Floats, start: str) -> Floats:
        if self._head is not None:
            final = self._advance(states, start, self.sites[-1], self.sites[-1:])[:, 0]
            return self._head.log_probabilities(final, self.sites[-1])
        raise InputError(
            f"the flow {self.name!r} has no tokens; next-token probabilities need a model: "
            "model.flow_map(text).log_probabilities(states, start=...)"
        )

    def _vjp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        for step in reversed(self._steps(start, stop)):
            vectors = vectors @ self._matrices[step]
        return vectors

    def _jvp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats:
        for step in self._steps(start, stop):
            vectors = vectors @ self._matrices[step].T
        return vectors
