"""Systems that are perturbed: a model and its untrained twins, over the same texts.

A `System` is a flow map per text and the recording that says where its states lie. Baselines that
need no other weights (zero update, random and spectrum-matched updates) are made from the model's
own system, by the perturbation that they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.model.labels import parse
from transformer_dynamics.nulls.reruns import (
    require_texts_of,
    require_weights_of,
    token_lists,
    untrained_twins,
)
from transformer_dynamics.recording.recording import Recording

if TYPE_CHECKING:
    from transformer_dynamics.model.loading import Model

MODEL, UNTRAINED, ZERO_UPDATE, RANDOM_UPDATES, SPECTRUM_MATCHED_UPDATES = (
    "model",
    "untrained",
    "zero_update",
    "random_updates",
    "spectrum_matched_updates",
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class System:
    """One system and its texts.

    Attributes:
        name: `model`, or the null that it is.
        recording: its states over texts, last tokens.
        flow: `text index -> flow map` of that text's last token.
        load: makes the model; a synthetic system has none.
    """

    name: str
    recording: Recording
    flow: Callable[[int], FlowMap]
    load: Callable[[], Model] | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """Labels of the sites in order of depth."""
        return self.recording.sites

    def tokens(self, text: int) -> list[int]:
        """The tokens of one text."""
        return token_lists(self.recording)[text]

    @property
    def predicts(self) -> bool:
        """Whether there is a head that predicts tokens."""
        return self.load is not None and self.load().predicts

    def require_model(self) -> Model:
        """The model.

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
    n_twins: int = 8,
    seed: int = 0,
) -> tuple[System, ...]:
    """The model's system and those of its untrained twins, one per seed.

    The first twin is called `untrained`, the others `untrained 1`, `untrained 2`, ... Weights of
    one twin at a time are held in memory.

    Args:
        model: the model, or anything that `td.load_model` takes.
        recording: its recording; perturbations follow the last tokens of the texts that have
            samples in it.
        twins: the untrained twins' recordings of texts of the recording, with the seeds `seed`,
            `seed + 1`, ..., where they were made already; by default `n_twins` are recorded in
            memory.
        n_twins: how many twins to record.
        seed: of the first twin's weights.

    Raises:
        RecordingError: the recording holds no texts.
        InputError: the recording has other sites than the model, or is of other weights.
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
    return System(name, recording, lambda text: load().flow_map(lists[text], bos="never"), load)


class _LatestTwin:
    """Makes untrained twins and holds the weights of the latest."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._seed: int | None = None
        self._twin: Model | None = None

    def of(self, seed: int) -> Model:
        """The twin of one seed."""
        if self._twin is None or seed != self._seed:
            self._twin = None
            self._twin, self._seed = self._model.untrained_twin(seed), seed
        return self._twin


def model_and_one_twin(systems: Sequence[System]) -> list[System]:
    """The systems without further untrained twins, for results that only figures show."""
    return [system for system in systems if not _is_further_twin(system.name)]


def shown_systems(result: xr.Dataset) -> list[str]:
    """Names of the systems of a result that a figure draws: of the twins the first."""
    return [name for name in result["system"].values.tolist() if not _is_further_twin(name)]


def _is_further_twin(name: str) -> bool:
    base, _, number = name.rpartition(" ")
    return base == UNTRAINED and number.isdigit() and int(number) > 0


def texts_followed(
    systems: Sequence[System], texts: Sequence[int], *, least: int = 2
) -> dict[str, list[int]]:
    """The texts that each system follows, by its name.

    The first system follows all of them. The others share twice as many among them, each the first
    few, `least` of them at least: their statistic is compared over systems, not over texts.
    """
    others = len(systems) - 1
    n_other = min(len(texts), max(least, -(-2 * len(texts) // max(1, others))))
    return {
        system.name: list(texts if place == 0 else texts[:n_other])
        for place, system in enumerate(systems)
    }


def chosen_texts(systems: Sequence[System], n_texts: int, seed: int) -> list[int]:
    """Texts drawn without replacement, in ascending order; the same for every system.

    Raises:
        InputError: there are not so many.
    """
    shared = texts_of(systems)
    if not 1 <= n_texts <= len(shared):
        raise InputError(
            f"got n_texts={n_texts}; the recording holds {len(shared)} texts: "
            f"n_texts={min(20, len(shared))}"
        )
    drawn = np.random.default_rng(seed).choice(len(shared), n_texts, replace=False)
    return sorted(int(shared[place]) for place in drawn)


def texts_of(systems: Sequence[System]) -> NDArray[np.int64]:
    """The texts of which every system has samples, in ascending order."""
    shared = np.unique(systems[0].recording.text_index)
    for system in systems[1:]:
        shared = np.intersect1d(shared, system.recording.text_index)
    return shared


def layer_sites(sites: Sequence[str]) -> tuple[str, ...]:
    """The first site of every layer, and the last site of all: what the steps of layers join.

    >>> layer_sites(["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"])
    ('0.pre_attn', '1.pre_attn', 'final')
    """
    first: dict[int, str] = {}
    for label in sites[:-1]:
        first.setdefault(parse(label)[0], label)
    return (*first.values(), sites[-1])


def quarter_sites(sites: Sequence[str]) -> tuple[str, ...]:
    """The first sites of layers 0, L/4 - 1, L/2 - 1, 3L/4 - 1 and L - 1, as arXiv 2502.12131.

    Quarters that are no whole number are rounded down; a small model has fewer than five layers to
    choose from, and each is named once.

    >>> quarter_sites([*(f"{layer}.pre_attn" for layer in range(32)), "final"])
    ('0.pre_attn', '7.pre_attn', '15.pre_attn', '23.pre_attn', '31.pre_attn')
    >>> quarter_sites(["0.pre_attn", "1.pre_attn", "2.pre_attn", "final"])
    ('0.pre_attn', '1.pre_attn', '2.pre_attn')
    """
    layers = layer_sites(sites)[:-1]
    n_layers = len(layers)
    places = [0, *(max(0, quarter * n_layers // 4 - 1) for quarter in range(1, 5))]
    return tuple(layers[place] for place in dict.fromkeys(places))


def step_names(sites: Sequence[str]) -> list[str]:
    """Names of the steps between sites."""
    return [f"{start} to {stop}" for start, stop in pairwise(sites)]


class ProgressCounter:
    """Counts pieces of work and tells of them."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self._total, self._done, self._tell = total, 0, on_progress

    def each(self, items: Sequence[Any]) -> Iterator[Any]:
        """The items, one piece of work each."""
        for item in items:
            yield item
            self._done += 1
            if self._tell is not None:
                self._tell(self._done, self._total)


def gathered(
    results: dict[str, list[xr.Dataset]], texts: Sequence[int], recording: Recording
) -> xr.Dataset:
    """Results of one text each, by system, as one Dataset `(system, sample, ...)`.

    The coordinates `text` and `group` hold the text of each sample and its group in the recording.
    A variable that a system lacks is NaN there, and so are the texts that it did not follow, which
    are the last ones.
    """
    joined = [
        xr.concat(parts, "sample").assign_coords(sample=list(texts)[: len(parts)])
        for parts in results.values()
    ]
    names = xr.DataArray(np.array(list(results), dtype=object), dims="system", name="system")
    whole: xr.Dataset = xr.concat(joined, names, join="outer").sel(sample=list(texts))
    return whole.drop_vars("sample").assign_coords(
        text=("sample", np.array(texts)), group=("sample", recording.groups_of(texts))
    )
