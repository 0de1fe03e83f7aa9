"""Flow map F(s -> t): carries states from one site to a later one with the context held fixed.

Only the stream of the last token changes; keys and values of earlier tokens are those of the
unperturbed run. Every experiment with the model in the loop uses this interface and no internals of
the model; a `LinearFlowMap` has the same methods with known answers.

States are those of the last token of a text, `(state, unit)`, in stream units. Jacobians have
outputs in rows: dF(s -> t)_i / dx_j.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.numerics.arrays import Floats

# Site where a step begins, and where it ends.
Step = tuple[str, str]
# Function of a vector at the end of every step, `(step, unit)`: products with the steps' Jacobians.
Pullback = Callable[[Floats], Floats]


def as_floats(states: Any) -> Floats:
    """Convert states to float64, from an array or a tensor on any device.

    Raises:
        InputError: the states are not real numbers in a rectangular array.
    """
    if hasattr(states, "detach"):
        states = states.detach().cpu().double().numpy()
    try:
        array = np.asarray(states)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"got states that are not an array ({error}); states are (state, unit)"
        ) from None
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"got states of type {type(states).__name__} and dtype {array.dtype}; states are "
            "real numbers (state, unit): flow.advance(flow.clean[:1], start=flow.sites[0])"
        )
    return np.asarray(array, dtype=np.float64)


class FlowMap(ABC):
    """Map that carries states over depth.

    Attributes:
        sites: labels of the sites in order of depth.
        clean: unperturbed trajectory, `(site, unit)`.
        name: name of the system in results.
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
            start: site of the states.
            stop: last site of interest; later layers do not run.
            keep: sites to return; by default all from `start` to `stop`.

        Returns:
            `(state, site, unit)`, with the sites in order of depth.

        Raises:
            InputError: a site does not exist or lies outside `start` to `stop`, or the states have
                another width or are not finite.
        """
        checked, kept = self._checked(states, start, stop, keep)
        if start == stop:
            return checked[:, np.newaxis].copy()
        return self._advance(checked, start, stop, kept)

    def advance_many(
        self,
        states: Mapping[str, ArrayLike],
        stop: str = FINAL,
        *,
        keep: Sequence[str] | None = None,
    ) -> dict[str, Floats]:
        """Carry states from several sites to a later one, all in the same passes.

        Args:
            states: states `(state, unit)` by the site where they start.
            stop: last site of interest; later layers do not run.
            keep: sites to return; by default all from each start to `stop`.

        Returns:
            By start, the result of `advance`: `(state, site, unit)`, with the sites of `keep` that
            do not lie before this start.

        Raises:
            InputError: as in `advance`, or none of the sites of `keep` follows a start.
        """
        given, kept = {}, {}
        for start, each in states.items():
            self._between(start, stop)
            first = self.sites.index(start)
            behind = keep and [
                label
                for label in keep
                if label not in self.sites or self.sites.index(label) >= first
            ]
            given[start], kept[start] = self._checked(each, start, stop, behind)
        moving = {start: each for start, each in given.items() if start != stop}
        carried = self._advance_many(moving, stop, kept) if moving else {}
        return {start: carried.get(start, each[:, np.newaxis]) for start, each in given.items()}

    def log_probabilities(self, states: ArrayLike, start: str) -> Floats:
        """Natural logarithms of the next token's probabilities, `(state, token)`, in nats.

        Args:
            states: `(state, unit)`, at `start`.
            start: site of the states.

        Raises:
            InputError: as in `advance`, or the system has no tokens.
        """
        self._between(start, FINAL if FINAL in self.sites else self.sites[-1])
        return self._log_probabilities(self._states(states), start)

    def jacobian(self, start: str, stop: str, *, at: ArrayLike | None = None) -> xr.DataArray:
        """Jacobian of the state at `stop` by the state at `start`, `(output_unit, input_unit)`.

        Eigenvalues are `np.linalg.eigvals(jacobian)`. Multiply Jacobians as arrays,
        `later.values @ earlier.values`, since xarray would sum over both dimensions.

        Args:
            start: site of the inputs, which are the columns.
            stop: site of the outputs, which are the rows.
            at: state at `start`, `(unit)`, at which the derivative is taken; by default the
                unperturbed one.

        Returns:
            Without unit; `attrs` hold the sites and the name of the flow map.

        Raises:
            InputError: as in `advance`.
        """
        units = np.arange(self.n_units)
        return xr.DataArray(
            self.vjp(np.eye(self.n_units), start, stop, at=at),
            dims=("output_unit", "input_unit"),
            coords={"output_unit": units, "input_unit": units},
            name="jacobian",
            attrs={
                "units": "1",
                "definition": "d F(start -> stop)_output / d x_input",
                "start": start,
                "stop": stop,
                "flow": self.name,
            },
        )

    def vjp(
        self, vectors: ArrayLike, start: str, stop: str, *, at: ArrayLike | None = None
    ) -> Floats:
        """Compute the products u^T J for vectors u at `stop`, `(vector, unit)`.

        Args:
            vectors: `(vector, unit)`, at `stop`.
            start: site of the inputs.
            stop: site of the outputs.
            at: state at `start`, `(unit)`; by default the unperturbed one.

        Raises:
            InputError: as in `advance`.
        """
        return self._differentiate(self._vjp, vectors, start, stop, at)

    def linearize_steps(self, steps: Sequence[Step], at: ArrayLike) -> tuple[Floats, Pullback]:
        """Carry one state through each of several steps, and give the steps' derivatives.

        Args:
            steps: sites where each step begins and ends, in order of depth; no step begins before
                the previous one ends.
            at: state at the beginning of each step, `(step, unit)`.

        Returns:
            The states at the ends, `(step, unit)`, and the function that computes u^T J of every
            step for one vector u at each end, `(step, unit)`. A model runs forward once for both,
            and once for all steps if its layers allow.

        Raises:
            InputError: as in `advance`, or the steps overlap.
        """
        return self._linearize_steps(*self._checked_steps(steps, at))

    def jacobians(self, steps: Sequence[Step], at: ArrayLike) -> Floats:
        """Jacobians of several steps, `(step, output unit, input unit)`.

        Args:
            steps: as in `linearize_steps`.
            at: state at the beginning of each step, `(step, unit)`.

        Raises:
            InputError: as in `linearize_steps`.
        """
        return self._jacobians(*self._checked_steps(steps, at))

    def jvp(
        self, vectors: ArrayLike, start: str, stop: str, *, at: ArrayLike | None = None
    ) -> Floats:
        """Compute the products J v for vectors v at `start`, `(vector, unit)`.

        Args:
            vectors: `(vector, unit)`, at `start`.
            start: site of the inputs.
            stop: site of the outputs.
            at: state at `start`, `(unit)`; by default the unperturbed one.

        Raises:
            InputError: as in `advance`.
        """
        return self._differentiate(self._jvp, vectors, start, stop, at)

    def jvp_many(
        self, changes: Mapping[str, ArrayLike], stops: Mapping[str, str]
    ) -> dict[str, Floats]:
        """Compute J v along the unperturbed trajectory for several starts, in the same passes.

        Args:
            changes: vectors v, `(vector, unit)`, by the site where they start.
            stops: site of the outputs, by start.

        Returns:
            By start, the result of `jvp`: `(vector, unit)`.

        Raises:
            InputError: as in `advance`, or a start has no stop.
        """
        if missing := set(changes) - set(stops):
            raise InputError(
                f"got no stop for {sorted(missing)}; each start has one: "
                f"flow.jvp_many({{start: vectors}}, {{start: {self.sites[-1]!r}}})"
            )
        for start in changes:
            self._between(start, stops[start])
        given = {start: self._states(each) for start, each in changes.items()}
        moving = {start: each for start, each in given.items() if start != stops[start]}
        return {**given, **self._jvp_many(moving, stops)}

    def _differentiate(
        self,
        derivative: Callable[[Floats, Floats, str, str], Floats],
        vectors: ArrayLike,
        start: str,
        stop: str,
        at: ArrayLike | None,
    ) -> Floats:
        state = self._base(start, stop, at)
        checked = self._states(vectors)
        (base,) = self._states(state[np.newaxis])
        return checked.copy() if start == stop else derivative(checked, base, start, stop)

    def _base(self, start: str, stop: str, at: ArrayLike | None) -> Floats:
        self._between(start, stop)
        return self.clean[self.sites.index(start)] if at is None else as_floats(at)

    def _checked_steps(self, steps: Sequence[Step], at: ArrayLike) -> tuple[list[Step], Floats]:
        """Steps that follow each other in depth, and the state at the beginning of each."""
        states = self._states(at)
        for start, stop in steps:
            if len(self._between(start, stop)) < 2:
                raise InputError(
                    f"got start={start!r} and stop={stop!r}; a step ends behind its start: "
                    f"steps=[({self.sites[0]!r}, {self.sites[1]!r})]"
                )
        places = [self.sites.index(site) for step in steps for site in step]
        if places != sorted(places) or len(states) != len(steps):
            raise InputError(
                f"got {len(states)} states for the steps {list(steps)}; one state for each, and no "
                "step begins before the previous one ends: flow.linearize_steps([(start, stop)], "
                "[state])"
            )
        return list(steps), states

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

    def _checked(
        self, states: ArrayLike, start: str, stop: str, keep: Sequence[str] | None
    ) -> tuple[Floats, tuple[str, ...]]:
        """States as an array, and the sites to return, in order of depth."""
        between = self._between(start, stop)
        kept = between if keep is None else tuple(label for label in between if label in keep)
        unknown = [] if keep is None else [label for label in keep if label not in between]
        if unknown or not kept:
            raise InputError(
                f"got keep={list(keep or [])}; allowed are sites from {start} to {stop}, at least "
                "one: "
                f"flow.advance(states, start={start!r}, stop={stop!r}, keep=[{stop!r}])"
            )
        return self._states(states), kept

    def _states(self, states: ArrayLike) -> Floats:
        checked = as_floats(states)
        if checked.ndim != 2 or checked.shape[1] != self.n_units or not checked.shape[0]:
            raise InputError(
                f"got states of shape {checked.shape}; allowed is (state, unit) with at least one "
                f"state and {self.n_units} units: "
                f"flow.advance(states.reshape(-1, {self.n_units}), start={self.sites[0]!r})"
            )
        if not np.isfinite(checked).all():
            raise InputError(
                "got states that are NaN or infinite; pass finite ones: "
                "flow.advance(states[np.isfinite(states).all(axis=1)], start=start)"
            )
        return checked

    @abstractmethod
    def _advance(self, states: Floats, start: str, stop: str, keep: tuple[str, ...]) -> Floats: ...

    def _advance_many(
        self, states: Mapping[str, Floats], stop: str, keep: Mapping[str, tuple[str, ...]]
    ) -> dict[str, Floats]:
        return {
            start: self._advance(each, start, stop, keep[start]) for start, each in states.items()
        }

    def _jvp_many(
        self, changes: Mapping[str, Floats], stops: Mapping[str, str]
    ) -> dict[str, Floats]:
        return {start: self.jvp(each, start, stops[start]) for start, each in changes.items()}

    def _linearize_steps(self, steps: list[Step], at: Floats) -> tuple[Floats, Pullback]:
        ends = [
            self._advance(state[np.newaxis], start, stop, (stop,))[0, 0]
            for state, (start, stop) in zip(at, steps, strict=True)
        ]

        def pull_back(vectors: Floats) -> Floats:
            return np.concatenate(
                [
                    self._vjp(vector[np.newaxis], state, *step)
                    for vector, state, step in zip(vectors, at, steps, strict=True)
                ]
            )

        return np.stack(ends), lambda vectors: pull_back(self._states(vectors))

    def _jacobians(self, steps: list[Step], at: Floats) -> Floats:
        units = np.eye(self.n_units)
        return np.stack(
            [self._vjp(units, state, *step) for state, step in zip(at, steps, strict=True)]
        )

    @abstractmethod
    def _log_probabilities(self, states: Floats, start: str) -> Floats: ...

    @abstractmethod
    def _vjp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats: ...

    @abstractmethod
    def _jvp(self, vectors: Floats, at: Floats, start: str, stop: str) -> Floats: ...
