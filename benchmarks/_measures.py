"""Measures on a random walk, each beside a plain loop that computes the same numbers.

A loop that would take long is measured on every k-th unit or sample and scaled up; loops take the
same time for each, and the table says how many were run. It is given the states in float64, the
precision that our measures accumulate in, and its conversion is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import _plain
import numpy as np
import xarray as xr
from _timing import Row, Task, Timings, interleaved, relative_difference
from numpy.typing import NDArray

import transformer_dynamics as td
from transformer_dynamics.model.labels import transformer_labels

Plain = Callable[[NDArray[Any]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Case:
    """A measure and its baseline.

    Attributes:
        name: what the table calls it.
        ours: the measure.
        plain: the baseline, on states `(sample, site, unit)` thinned out.
        loop: the baseline in a few words.
        thinned: the dimension that the baseline is measured on a part of.
        every: it is measured on each one of these.
    """

    name: str
    ours: Callable[[td.Recording], xr.Dataset]
    plain: Plain
    loop: str
    thinned: str = "unit"
    every: int = 1


MEASURES = (
    Case(
        "units.correlation",
        td.units.correlation,
        _plain.correlation,
        "scipy pearsonr per unit and step",
        every=20,
    ),
    Case(
        "units.density",
        td.units.density,
        _plain.density,
        "numpy per state",
        thinned="sample",
        every=10,
    ),
    Case(
        "units.mutual_information (copula)",
        td.units.mutual_information,
        _plain.mutual_information,
        "ranks, ppf, corrcoef per unit and step",
        every=20,
    ),
    Case(
        "orbits.rotation_counts (mean and every trace)",
        td.orbits.rotation_counts,
        _plain.rotations,
        "Python loop over points",
        every=50,
    ),
    Case(
        "paths.kinematics",
        td.paths.kinematics,
        _plain.kinematics,
        "numpy norm per vector",
        thinned="sample",
        every=10,
    ),
    Case(
        "paths.path_geometry",
        td.paths.path_geometry,
        _plain.geometry,
        "numpy norm and arccos per vector",
        thinned="sample",
        every=10,
    ),
    Case(
        "dimension.pca",
        td.dimension.pca,
        _plain.pca,
        "scikit-learn PCA, shares per site",
    ),
)


def walk(n_samples: int, n_layers: int, n_units: int) -> td.Recording:
    """A random walk over the sites of a transformer, float32."""
    sites = transformer_labels(n_layers)
    shape = (n_samples, len(sites), n_units)
    steps = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return td.Recording.from_array(np.cumsum(steps, axis=1), sites=sites)


def measure_rows(recording: td.Recording, rounds: int) -> tuple[list[Row], str]:
    """The rows of the table, and one line about all measures together."""
    states = recording.values.astype(np.float64)
    # Every result cites the digest of the states; the recording computes it once, which is here.
    digest = interleaved({"digest": lambda: recording.digest}, rounds=1).median("digest")
    cases = [*MEASURES, _kernel(recording)]
    tasks: dict[str, Task] = {}
    for case in cases:
        tasks[case.name] = partial(case.ours, recording)
        tasks[f"{case.name}, plain"] = partial(case.plain, _thinned(states, case))
    timings = interleaved(tasks, rounds)
    together = digest + sum(timings.median(case.name) for case in MEASURES)
    total = (
        f"The {len(MEASURES)} measures together: {together:.2f} s, of which {digest:.2f} s for the "
        "recording's digest, made once (goal: at most 25 s on 2 cores for 1000 x 61 x 576)"
    )
    return [_row(case, recording.shape, timings) for case in cases], total


def _kernel(recording: td.Recording) -> Case:
    """The rotation count alone, of mean traces made beforehand."""
    traces = recording.values.mean(axis=0, dtype=np.float64).T
    return Case(
        "units.rotation_count (mean traces alone)",
        lambda _: xr.Dataset({"rotation_count": ("unit", td.orbits.rotation_count(traces))}),
        lambda _: {"rotation_count": _plain.rotation_count(traces)},
        "Python loop over points",
    )


def _thinned(states: NDArray[Any], case: Case) -> NDArray[Any]:
    return states[:, :, :: case.every] if case.thinned == "unit" else states[:: case.every]


def _row(case: Case, shape: tuple[int, int, int], timings: Timings) -> Row:
    whole = shape[2] if case.thinned == "unit" else shape[0]
    part = len(range(0, whole, case.every))
    plain = f"{case.name}, plain"
    return Row(
        name=case.name,
        ratios=timings.ratios(case.name, plain) * part / whole,
        seconds=timings.median(case.name),
        baseline=case.loop,
        baseline_seconds=timings.median(plain) * whole / part,
        measured_on="all" if part == whole else f"{part} of {whole} {case.thinned}s",
        difference=_difference(case, timings.results[case.name], timings.results[plain]),
    )


def _difference(case: Case, ours: xr.Dataset, plain: dict[str, NDArray[Any]]) -> float:
    same = ours.isel({case.thinned: slice(None, None, case.every)}, missing_dims="ignore")
    differences = [relative_difference(same[name].values, plain[name]) for name in plain]
    return float(np.max(differences))
