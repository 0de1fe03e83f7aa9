"""Loop that all perturbations share: one experiment in many texts of every system.

A perturbation supplies a function that prepares the experiment of one system (its plane, the
states of other texts); the prepared experiment takes the index of a text and returns one result by
system name, for the system itself and for controls derived from it. Systems form the outer loop,
since the weights of only one untrained twin are held at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.environment import return_memory
from transformer_dynamics.errors import InputError
from transformer_dynamics.model.flow_map import FlowMap
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.perturbation.systems import ZERO_UPDATE, System

# Fewest texts of a further system: the model is compared with it on these texts, and a difference
# over two texts has one degree of freedom.
LEAST_TEXTS = 4

Progress = Callable[[int, int], None]
Experiment = Callable[[int], Mapping[str, xr.Dataset]]


def over_texts(
    systems: Sequence[System],
    texts: Sequence[int],
    prepare: Callable[[System], Experiment],
    *,
    followed: Mapping[str, Sequence[int]] | None = None,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Run an experiment in the texts of every system; stack along `system` and `sample`.

    Args:
        systems: the systems, in the order in which they run.
        texts: indices of the texts of the first system, in ascending order.
        prepare: experiment of one system; called once, before the system's first text.
        followed: texts of each system by its name, the first few of `texts`; by default all.
        on_progress: called with the number of texts done and in all, over all systems.

    Returns:
        `(system, sample, ...)` with the coordinates `text` and `group` of each sample. A variable
        that a system lacks is NaN there, and so are texts that it does not follow. Systems come in
        the order of their first results.

    Raises:
        InputError: the weights of the first system's model are no longer those of its recording;
            flow maps and Jacobians that earlier perturbations left would be those of other weights.
    """
    systems[0].require_unchanged()
    chosen = followed or {system.name: texts for system in systems}
    n_done, n_in_all = 0, sum(len(each) for each in chosen.values())
    results: dict[str, list[xr.Dataset]] = {}
    for system in systems:
        experiment = prepare(system)
        for text in chosen[system.name]:
            for name, result in experiment(text).items():
                results.setdefault(name, []).append(result)
            n_done += 1
            if on_progress is not None:
                on_progress(n_done, n_in_all)
        return_memory()
    return along_samples(results, texts, systems[0].recording.groups_of(texts))


def along_samples(
    results: Mapping[str, Sequence[xr.Dataset]], texts: Sequence[int], groups: NDArray[np.int64]
) -> xr.Dataset:
    """Join the results of single texts by system as `(system, sample, ...)`.

    Args:
        results: one result per text, for the first few of `texts`, by system name.
        texts: indices of the texts, for the coordinate `text`.
        groups: group of each text, for the coordinate `group`.
    """
    by_system = {
        name: xr.concat(parts, "sample").assign_coords(sample=list(texts)[: len(parts)])
        for name, parts in results.items()
    }
    together = stacked(by_system, "system").sel(sample=list(texts))
    return together.drop_vars("sample").assign_coords(
        text=("sample", np.array(texts)), group=("sample", groups)
    )


def stacked(results: Mapping[str, xr.Dataset], dim: str) -> xr.Dataset:
    """Join results along a new dimension, labeled with their names."""
    labels = xr.DataArray(np.array(list(results), dtype=object), dims=dim, name=dim)
    together: xr.Dataset = xr.concat(list(results.values()), labels, join="outer")
    return together


def flow_and_zero_update(system: System, text: int) -> dict[str, FlowMap]:
    """Flow map of a text by system name, and its control whose updates ignore the perturbation."""
    flow = system.flow(text)
    return {system.name: flow, ZERO_UPDATE: zero_update(flow)}


def texts_followed(systems: Sequence[System], texts: Sequence[int]) -> dict[str, list[int]]:
    """Texts that each system follows, by its name.

    The first system follows all texts. The other systems share as many texts in all, each the first
    few and at least `LEAST_TEXTS`: as a null they vary over systems and not over texts alone.
    """
    n_others = len(systems) - 1
    n_each = min(len(texts), max(LEAST_TEXTS, -(-len(texts) // max(1, n_others))))
    return {
        system.name: list(texts if number == 0 else texts[:n_each])
        for number, system in enumerate(systems)
    }


def chosen_texts(systems: Sequence[System], n_texts: int, seed: int) -> list[int]:
    """Texts drawn without replacement, in ascending order; the same texts for every system.

    Raises:
        InputError: the systems share fewer texts.
    """
    shared = texts_of(systems)
    if not 1 <= n_texts <= len(shared):
        raise InputError(
            f"got n_texts={n_texts}; the recording holds {len(shared)} texts: "
            f"n_texts={min(20, len(shared))}"
        )
    drawn = np.random.default_rng(seed).choice(len(shared), n_texts, replace=False)
    return sorted(int(shared[index]) for index in drawn)


def texts_of(systems: Sequence[System]) -> NDArray[np.int64]:
    """Texts of which every system has samples, in ascending order."""
    shared = np.unique(systems[0].recording.text_index)
    for system in systems[1:]:
        shared = np.intersect1d(shared, system.recording.text_index)
    return shared
