"""Profiles over relative depth: every quantity with one number per site or step, of each run.

The relative depth of site i of S sites is i/(S - 1), of the step from it (i + 1/2)/(S - 1), of the
turn at it i/(S - 1); runs of any depth share the axis. Quantities are variables of stored results
along depth alone, or their means over samples with bootstrap intervals over texts. A bare
recording is measured here, with the measures of `QUICK_MEASURES` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.comparison.claims.estimates import Resampling
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.experiment.costs import QUICK_MEASURES
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend.captions import variable_label
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.stats.bootstrap import percentile_interval
from transformer_dynamics.storage.attributes import attribute

# Dimensions along depth, and the distance of their points from the site that names them, in steps.
OFFSETS = {"site": 0.0, "step": 0.5, "turn": 0.0, "start": 0.0}
ENDS = ("_low", "_high")
STORED, OVER_TEXTS, NONE = "as stored", "95 % bootstrap over texts", "none"


@dataclass(frozen=True)
class Curve:
    """A quantity over the depth of one run.

    Attributes:
        run: name of the run.
        is_null: whether the run is a null model.
        depth: relative depth, `(point,)`.
        labels: label of the site that each point belongs to.
        value: `(point,)`.
        low: lower end of the interval, `(point,)`, or None.
        high: upper end of the interval, `(point,)`, or None.
        n_samples: number of samples.
    """

    run: str
    is_null: bool
    depth: Floats
    labels: tuple[str, ...]
    value: Floats
    low: Floats | None
    high: Floats | None
    n_samples: int


@dataclass(frozen=True)
class Profile:
    """A quantity over relative depth in several runs.

    Attributes:
        name: name of the measure or claim, and of the variable.
        title: noun phrase.
        label: quantity with its unit in parentheses.
        interval: kind of the intervals.
        curves: one for each run that has it.
        missing: reason for each run that lacks it, by the run's name.
    """

    name: str
    title: str
    label: str
    interval: str
    curves: tuple[Curve, ...]
    missing: dict[str, str] = field(default_factory=dict)


def measured_profiles(runs: Sequence[ComparedRun], resampling: Resampling) -> list[Profile]:
    """Profiles of the measures that at least two runs have, in the order of the registry."""
    return [profile for name in MEASURES.all() for profile in _of_measure(name, runs, resampling)]


def _of_measure(
    name: str, runs: Sequence[ComparedRun], resampling: Resampling
) -> Iterator[Profile]:
    results = {run.name: run.load(name) for run in runs}
    bare = [run for run in runs if run.is_bare]
    if name in QUICK_MEASURES and (len(bare) == len(runs) or any(map(_is_there, results.values()))):
        results |= {run.name: _measure(name, run) for run in bare}
    found = {run: result for run, result in results.items() if result is not None}
    if len(found) < 2:
        return
    by_name = {run.name: run for run in runs}
    parameters = [attribute(result, "parameters", {}) for result in found.values()]
    agreeing = {
        run: result
        for (run, result), own in zip(found.items(), parameters, strict=True)
        if own == parameters[0]
    }
    missing = {run: "not measured" for run in results if run not in found} | {
        run: "measured with other parameters" for run in found if run not in agreeing
    }
    first = next(iter(agreeing.values()))
    for variable in sorted(map(str, first.data_vars)):
        having = {run: result for run, result in agreeing.items() if variable in result}
        if len(having) < 2 or _depth_dim(first, variable) is None:
            continue
        curves = [
            _measured(by_name[run], result, variable, resampling) for run, result in having.items()
        ]
        yield Profile(
            f"{name}.{variable}",
            f"{first.attrs.get('title', name)}: {variable.replace('_', ' ')}",
            variable_label(first[variable]),
            _interval(first, variable),
            tuple(curves),
            missing,
        )


def _is_there(result: xr.Dataset | None) -> bool:
    return result is not None


def _measure(name: str, run: ComparedRun) -> xr.Dataset:
    result: xr.Dataset = MEASURES.get(name).function(run.loaded)
    return result


def _depth_dim(result: xr.Dataset, variable: str) -> str | None:
    """Dimension along depth of a variable that has no other one but samples."""
    values = result[variable]
    dims = [str(dim) for dim in values.dims if dim != "sample"]
    is_end = variable.endswith(ENDS)
    if values.dtype.kind != "f" or is_end or len(dims) != 1 or dims[0] not in OFFSETS:
        return None
    return dims[0]


def _interval(result: xr.Dataset, variable: str) -> str:
    if "sample" in result[variable].dims:
        return OVER_TEXTS
    return STORED if all(f"{variable}{end}" in result for end in ENDS) else NONE


def _measured(run: ComparedRun, result: xr.Dataset, variable: str, resampling: Resampling) -> Curve:
    values, kind = result[variable], _interval(result, variable)
    if kind == OVER_TEXTS:
        samples = values.transpose("sample", ...)
        return curve_of(run, samples, *_mean_over_texts(run, samples.values, resampling))
    if kind == STORED:
        ends = [result[f"{variable}{end}"].values for end in ENDS]
        return curve_of(run, values, values.values, *ends)
    return curve_of(run, values, values.values, None, None)


def _mean_over_texts(
    run: ComparedRun, values: Any, resampling: Resampling
) -> tuple[Floats, Floats, Floats]:
    """Mean over samples where defined, `(point,)`, and the ends of its interval over texts."""
    weights = resampling.weights(run.recording.groups)
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ np.where(defined, values, 0.0).astype(np.float64)) / (weights @ defined)
    return means[0], *percentile_interval(means[1:])


def curve_of(
    run: ComparedRun,
    values: xr.DataArray,
    mean: Floats,
    low: Floats | None,
    high: Floats | None,
) -> Curve:
    """Curve over relative depth.

    Args:
        run: the run, whose sites place the points.
        values: array with one dimension along depth; its labels are sites.
        mean: values to show, `(point,)`.
        low: lower ends of the interval, `(point,)`, or None.
        high: upper ends of the interval, `(point,)`, or None.
    """
    dim = next(str(each) for each in values.dims if each != "sample")
    sites = run.recording.sites
    n_points = values.sizes[dim]
    # Without labels, turns start from the second site.
    first = 1 if dim == "turn" else 0
    labels = [str(label) for label in values[dim].values] if dim in values.coords else []
    if all(label in sites for label in labels) and labels:
        index = np.array([sites.index(label) for label in labels], dtype=np.float64)
    else:
        index = np.arange(first, first + n_points, dtype=np.float64)
        labels = [sites[int(place)] if place < len(sites) else "" for place in index]
    depth = (index + OFFSETS[dim]) / max(1, len(sites) - 1)
    n_samples = run.recording.shape[0]
    return Curve(run.name, run.is_null, depth, tuple(labels), mean, low, high, n_samples)
