"""The flow map F(s -> t): carries states from one site to a later one, the context held fixed.

Only the probed token's stream changes; what the earlier tokens left behind (keys and values) is
that of the clean run. Everything that asks what the model would do with another state talks to this
one object and to nothing of the model's insides; a `LinearFlowMap` has the same methods and answers
that are known.

States are those of the last token of a text, `(state, unit)`, in stream units. Jacobians have
outputs in rows: dF(s -> t)_i / dx_j.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.residual.labels import FINAL, state_labels

Floats = NDArray[np.float64]


def as_floats(states: Any) -> Floats:
    """States as float64, from an array or a tensor on any device, with gradients or without.

    Raises:
        InputError: they are not real numbers in a rectangular array.
    """
    if hasattr(states, "detach"):
        states = states.detach().cpu().double().numpy()
    try:
        array = np.asarray(states)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"got states that are no array ({error}); they are (state, unit)"
        ) from None
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"got states of type {type(states).__name__} and dtype {array.dtype}; they are real "
            "numbers (state, unit): flow.advance(flow.clean[:1], start=flow.sites[0])"
        )
    return np.asarray(array, dtype=np.float64)


class FlowMap(ABC):
    """Map that carries states over depth.

    Attributes:
        sites: the labels of the sites in order of depth.
        clean: the trajectory of the unperturbed state, `(site, unit)`.
        name: what it is the flow of, for results.
    """

    sites: tuple[str, ...]
    clean: Floats
    name: str

    @property
    def n_units(self) -> int:
        """Dimension of the stream."""
        return int(self.clean.shape[1])

    def advance(
        self,
        states: ArrayLike,
        start: str,
        stop: str = FINAL,
        *,
        keep: Sequence[str] | None = None,
    ) -> Floats:
        """Carry states from one site to a later one.

        Args:
            states: `(state, unit)`, at `start`.
            start: the site where they stand.
            stop: the last site of interest; nothing behind it runs.
            keep: the sites to return; by default every one from `start` to `stop`.

        Returns:
            `(state, site, unit)`, the sites in order of depth.

        Raises:
            InputError: a site that is not there, or lies outside `start` to `stop`; states of
                another width, or not finite.
        """
        between = self._between(start, stop)
        kept = between if keep is None else tuple(label for label in between if label in keep)
        unknown = [] if keep is None else [label for label in keep if label not in between]
        if unknown or not kept:
            raise InputError(
                f"got keep={list(keep or [])}; it names one or more sites from {start} to {stop}: "
                f"flow.advance(states, start={start!r}, stop={stop!r}, keep=[{stop!r}])"
            )
        given = self._states(states)
        if start == stop:
            return given[:, np.newaxis].copy()
        return self._advance(given, start, stop, kept)

    def log_probabilities(self, states: ArrayLike, start: str) -> Floats:
        """Natural logarithms of the next token's probabilities, `(state, token)`, in nats.

        Args:
            states: `(state, unit)`, at `start`.
            start: the site where they stand.

        Raises:
            InputError: as `advance`, or the system has no tokens.
        """
        self._between(start, FINAL if FINAL in self.sites else self.sites[-1])
        return self._log_probabilities(self._states(states), start)

    def jacobian(self, start: str, stop: str, *, at: ArrayLike | None = None) -> Floats:
        """The derivative of the state at `stop` by the state at `start`, `(unit, unit)`.

        Args:
            start: the site of the inputs, which are the columns.
            stop: the site of the outputs, which are the rows.
            at: the state at `start`, `(unit)`, where it is taken; by default the clean one.

        Raises:
            InputError: as `advance`.
        """
        return self.vjp(np.eye(self.n_units), start, stop, at=at)

    def vjp(
        self, vectors: ArrayLike, start: str, stop: str, *, at: ArrayLike | None = None
    ) -> Floats:
        """Rows u^T J of the Jacobian for vectors u at `stop`, `(vector, unit)`.

        Args:
            vectors: `(vector, unit)`, at `stop`.
            start: the site of the inputs.
            stop: the site of the outputs.
            at: the state at `start`, `(unit)`; by default the clean one.

        Raises:
            InputError: as `advance`.
        """
        return self._differentiate(self._vjp, vectors, start, stop, at)

    def jvp(
        self, vectors: ArrayLike, start: str, stop: str, *, at: ArrayLike | None = None
    ) -> Floats:
        """Changes J v at `stop` for changes v at `start`, `(vector, unit)`.

        Args:
            vectors: `(vector, unit)`, at `start`.
            start: the site of the inputs.
            stop: the site of the outputs.
            at: the state at `start`, `(unit)`; by default the clean one.

        Raises:
            InputError: as `advance`.
        """
        return self._differentiate(self._jvp, vectors, start, stop, at)

    def _differentiate(
        self,
        derivative: Callable[[Floats, Floats, str, str], Floats],
        vectors: ArrayLike,
        start: str,
        stop: str,
        at: ArrayLike | None,
    ) -> Floats:
        self._between(start, stop)
        given = self._states(vectors)
        here = self.clean[self.sites.index(start)] if at is None else as_floats(at)
        (base,) = self._states(here[np.newaxis])
        return given.copy() if start == stop else derivative(given, base, start, stop)

    def _between(self, start: str, stop: str) -> tuple[str, ...]:
        for label in (start, stop):
            if label not in self.sites:
                raise InputError(
                    f"there is no site {label!r}; this flow has {', '.join(self.sites[:4])}, ... "
                    f"{self.sites[-1]}"
                )
        first, last = self.sites.index(start), self.sites.index(stop)
        if last < first:
            raise InputError(
                f"got start={start!r} and stop={stop!r}, which lies before it; states are carried "
                f"forward: start={stop!r}, stop={start!r}"
            )
        return self.sites[first : last + 1]

    def _states(self, states: ArrayLike) -> Floats:
        given = as_floats(states)
        if given.ndim != 2 or given.shape[1] != self.n_units or not given.shape[0]:
            raise InputError(
                f"got states of shape {given.shape}; they are (state, unit) with "
                f"{self.n_units} units, one at least: flow.advance(states.reshape(-1, "
                f"{self.n_units}), start={self.sites[0]!r})"
            )
        if not np.isfinite(given).all():
            raise InputError("got states that are NaN or infinite; give finite ones")
        return given

    @abstractmethod
    def _advance(self, states: Floats, start: str, stop: str, keep: tuple[str, ...]) -> Floats: ...

    @abstractmethod
    def _log_probabilities(self, states: Floats, start: str) -> Floats: ...

    @abstractmethod
    def _vjp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats: ...

    @abstractmethod
    def _jvp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats: ...


class LinearFlowMap(FlowMap):
    """x[s+1] = A[s] x[s] + b[s]: a flow whose every answer is known.

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
        """Build it.

        Args:
            matrices: `(step, unit, unit)`, outputs in rows.
            offsets: `(step, unit)`; by default none.
            first: the clean state at the first site, `(unit)`; by default all ones.
            name: what it is called in results.

        Raises:
            InputError: the shapes do not fit.
        """
        steps: Floats = np.asarray(matrices, dtype=np.float64)
        # What nobody can write to, as one matrix seen many times, need not be copied.
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
        """A stack whose layers add nothing: what is injected stays, for ever."""
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
        """Every step multiplies the state by one factor; a distance after k steps is factor^k."""
        steps = np.broadcast_to(factor * np.eye(n_units), (n_sites - 1, n_units, n_units))
        return cls(steps, first=first, name=name)

    @classmethod
    def rotation(cls, n_sites: int, angle: float, *, first: ArrayLike | None = None) -> FlowMap:
        """Two units that turn by one angle a step, in radians."""
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        return cls(np.stack([turn] * (n_sites - 1)), first=first, name="rotation")

    @classmethod
    def residual(cls, weights: ArrayLike, *, first: ArrayLike | None = None) -> FlowMap:
        """Steps I + W: a residual stack of linear layers, for known `W` `(step, unit, unit)`."""
        given: Floats = np.asarray(weights, dtype=np.float64)
        return cls(given + np.eye(given.shape[-1]), first=first, name="residual")

    @classmethod
    def around(cls, flow: FlowMap, matrices: ArrayLike, *, name: str) -> LinearFlowMap:
        """A flow with the same clean trajectory in which deviations from it go by matrices.

        Args:
            flow: where the clean trajectory, and what reads tokens off its end, are taken from.
            matrices: `(step, unit, unit)`; a deviation at one site times its matrix is the
                deviation at the next.
            name: what it is called in results.
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
