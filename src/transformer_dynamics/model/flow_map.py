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
import xarray as xr
from numpy.typing import ArrayLike

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.numerics.arrays import Floats


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

    def jacobian(self, start: str, stop: str, *, at: ArrayLike | None = None) -> xr.DataArray:
        """Jacobian of the state at `stop` by the state at `start`, `(output_unit, input_unit)`.

        Eigenvalues are `np.linalg.eigvals(jacobian)`. Multiply Jacobians as arrays,
        `later.values @ earlier.values`, since xarray would sum over both dimensions.

        Args:
            start: site of the inputs, which are the columns.
            stop: site of the outputs, which are the rows.
            at: state at `start`, `(unit)`, at which it is taken; by default the clean one.

        Returns:
            Without unit; `attrs` hold the sites and the name of the flow map.

        Raises:
            InputError: as `advance`.
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
