"""Systems under perturbation: a model and its untrained twins, over the same texts.

A `System` holds a flow map per text and the recording that its states are drawn from. Controls
that need no other weights (zero update, random and spectrum-matched updates) are derived from the
model's own system by each perturbation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.nulls.reruns import (
    N_TWINS,
    require_texts_of,
    require_weights_of,
    token_lists,
    untrained_twins,
)
from transformer_dynamics.recording.recording import Recording

if TYPE_CHECKING:
    from transformer_dynamics.model.language_model import Model
    from transformer_dynamics.model.model_flow_map import ModelFlowMap

# Memory of the flow maps of the model that stay for further perturbations.
FLOW_BYTES = 64 * 2**20

MODEL, UNTRAINED, ZERO_UPDATE, RANDOM_UPDATES, SPECTRUM_MATCHED_UPDATES = (
    "model",
    "untrained",
    "zero_update",
    "random_updates",
    "spectrum_matched_updates",
)


@dataclass(frozen=True, eq=False)
class System:
    """One system and its texts.

    Attributes:
        name: `model`, or the name of the control.
        recording: states of the last tokens of many texts.
        flow: flow map of a text's last token, by index of the text.
        load: function that returns the model; None for a synthetic system.
        steps: Jacobians of steps that several perturbations use, by text and sites of the steps;
            see `jacobians.steps`.
    """

    name: str
    recording: Recording
    flow: Callable[[int], FlowMap]
    load: Callable[[], Model] | None = None
    steps: dict[tuple[int, tuple[str, ...]], NDArray[Any]] = field(default_factory=dict)

    @property
    def sites(self) -> tuple[str, ...]:
        """Labels of the sites in order of depth."""
        return self.recording.sites

    def tokens(self, text: int) -> list[int]:
        """Tokens of one text."""
        return token_lists(self.recording)[text]

    @property
    def predicts(self) -> bool:
        """True for a system with a head that predicts tokens."""
        return self.load is not None and self.load().predicts

    def require_unchanged(self) -> None:
        """Check that the model still has the weights that the recording was made with.

        Raises:
            InputError: the weights were changed since.
        """
        if self.load is not None:
            require_weights_of(self.recording, self.load())

    def require_model(self) -> Model:
        """Return the model.

        Raises:
            InputError: the system is synthetic.
        """
        if self.load is None:
            raise InputError(
                f"the system {self.name!r} holds flow maps but no model; this needs one: "
                "td.perturbation.systems(model, recording)"
            )
        return self.load()


def systems(
    model: Any,
    recording: Recording,
    *,
    twins: Sequence[Recording] = (),
    n_twins: int = N_TWINS,
    seed: int = 0,
) -> tuple[System, ...]:
    """Make the system of the model and one of each untrained twin.

    The first twin is called `untrained`, the others `untrained 1`, `untrained 2`, ... The weights
    of one twin at a time are held in memory.

    Args:
        model: the model, or anything that `td.load_model` takes.
        recording: whole recording of the model; perturbations follow the last tokens of the texts
            that have samples in it.
        twins: recordings of the untrained twins with the seeds `seed`, `seed + 1`, ..., if there
            are any; by default `n_twins` twins are recorded in memory.
        n_twins: number of twins to record.
        seed: seed of the first twin's weights.

    Raises:
        RecordingError: the recording holds no texts.
        InputError: the recording has other sites than the model, or comes from other weights.
    """
    from transformer_dynamics.model.loading import as_model

    model = as_model(model)
    if recording.sites != model.sites:
        raise InputError(
            f"got a recording of {len(recording.sites)} sites from {recording.sites[0]} to "
            f"{recording.sites[-1]}; the model has {len(model.sites)}: give a whole recording of "
            "this model, td.record(model, texts)"
        )
    n_units = model.found_sites.n_units
    if recording.shape[2] != n_units or "units" in recording.provenance:
        raise InputError(
            f"got a recording of {recording.shape[2]} selected units; a perturbation replaces all "
            f"{n_units} units of a state: give the whole recording, without recording.sel(unit=...)"
        )
    require_weights_of(recording, model)
    lists = token_lists(recording)
    seeds = range(seed, seed + (len(twins) or n_twins))
    recordings = twins or untrained_twins(recording, model=model, seeds=seeds)
    for twin in recordings:
        require_texts_of(recording, twin, UNTRAINED)
    weights = _LatestTwin(model)
    return (
        _system(MODEL, recording, lists, lambda: model),
        *(
            _system(_twin_name(number), twin, lists, partial(weights.of, each))
            for number, (each, twin) in enumerate(zip(seeds, recordings, strict=True))
        ),
    )


def _twin_name(number: int) -> str:
    return f"{UNTRAINED} {number}" if number else UNTRAINED


def _system(
    name: str, recording: Recording, lists: Sequence[list[int]], load: Callable[[], Model]
) -> System:
    def flow(text: int) -> ModelFlowMap:
        return load().flow_map(lists[text], bos="never")

    # The flow maps of a twin would keep its weights in memory.
    return System(name, recording, _KeptFlows(flow) if name == MODEL else flow, load)


class _KeptFlows:
    """Flow maps by text, of which the latest stay in memory for further perturbations."""

    def __init__(self, make: Callable[[int], ModelFlowMap]) -> None:
        self._make = make
        self._kept: OrderedDict[int, ModelFlowMap] = OrderedDict()

    def __call__(self, text: int) -> FlowMap:
        """Return the flow map of a text."""
        flow = self._kept.pop(text, None) or self._make(text)
        self._kept[text] = flow
        while len(self._kept) > 1 and sum(e.n_bytes for e in self._kept.values()) > FLOW_BYTES:
            self._kept.popitem(last=False)
        return flow


class _LatestTwin:
    """Maker of untrained twins that holds the weights of the latest one.

    Twins differ in the seed alone: the sites and the strategy found in one are those of all.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._seed: int | None = None
        self._twin: Model | None = None
        self._findings: dict[str, Any] = {}

    def of(self, seed: int) -> Model:
        """Return the twin of one seed."""
        if self._twin is None or seed != self._seed:
            if self._twin is not None:
                self._findings = self._twin.findings
            self._twin = None
            self._twin, self._seed = self._model.untrained_twin(seed), seed
            self._twin.adopt(self._findings)
        return self._twin


def model_and_one_twin(systems: Sequence[System]) -> list[System]:
    """Systems without the second and later untrained twins, for results that only figures show."""
    return [system for system in systems if not is_further_twin(system.name)]


def shown_systems(result: xr.Dataset) -> list[str]:
    """Names of the systems that a figure draws: all but the second and later untrained twins."""
    return [name for name in result["system"].values.tolist() if not is_further_twin(name)]


def is_further_twin(name: str) -> bool:
    """Return whether a system is the second or a later untrained twin."""
    base, _, number = name.rpartition(" ")
    return base == UNTRAINED and number.isdigit() and int(number) > 0
