"""Massive activations: which units carry them where, and what of each result is their work.

Two definitions, side by side, since neither implies the other:

    by magnitude   an activation with |x| > 100 and |x| > 1000 median over units of |x| of the same
                   state (Sun et al. 2024); a unit that has one in some sample
    by variance    a unit whose variance, pooled over samples and sites, is more than 100 times the
                   median unit's (`standardization`, `pca`)

The first is about single states, the second about what dominates variances and distances. Sun et
al. say "at least or around 1000"; the limit here is sharp, and how near a site comes to it stands
beside (SmolLM2-135M reaches 770 at its first tokens and 150 at the last). Per site,
the units are ranked by energy, sum over samples of x^2, and by variance about the site's own mean,
and the share that the first 1, 2 and 3 hold is given, beside the same in a random basis (one
orthogonal matrix for all sites): all lengths and angles are the same there, and no unit is massive.
How much of each result on the population is the work of the units that are massive by variance is
what changes when they are standardized (`massive_effects`).

Sources: arXiv 2402.17762 (magnitude); the rest ours.

Cost: one pass for the shares and medians, one product with a D x D matrix, and the kinematics,
geometry, PCA and participation ratio of the recording and of its standardized version; 6 s for
512 x 61 x 576 on one core. Of more than 512 samples, the random basis and the participation ratio
take 512, a seeded choice.

Not handled: where in a text massive activations lie (the last token of a text has few; record
`positions="all"`), and what they are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.massive.effects import QUANTITIES, Effect, effects
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states, warn_undefined
from transformer_dynamics.numerics.principal_axes import require_finite
from transformer_dynamics.numerics.standardize import (
    MASSIVE_FACTOR,
    UnitMoments,
    moments_of_states,
    standardization,
    standardized,
)
from transformer_dynamics.recording.labels import turn_coords
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS, measure
from transformer_dynamics.stats.bootstrap import percentile_interval
from transformer_dynamics.storage.attributes import STREAM

LEAST_MAGNITUDE = 100.0
N_TOP = 3
# Samples of the random basis and the participation ratio: their cost grows with the square.
MOST_SAMPLES = 512
VERSIONS = ("as recorded", "standardized")
LEAST_RATIO = 1000.0
# The bases that states are looked at in: the units, and a random rotation of them.
BASES = ("units", "random")
MAGNITUDE = f"|x| > {LEAST_MAGNITUDE:.0f} and > {LEAST_RATIO:.0f} times the state's median |x|"
VARIANCE = f"pooled variance > {MASSIVE_FACTOR} times the median unit's"
UNITS = {
    "norm": STREAM,
    "speed": f"{STREAM} per step",
    "turning_angle": "rad",
}


def massive_activations(states: NDArray[Any]) -> NDArray[np.bool_]:
    """Find massive activations by their magnitude (arXiv 2402.17762).

    Args:
        states: `(..., unit)`, in stream units.

    Returns:
        `(..., unit)`: |x| > 100 and > 1000 times the median of |x| over the units of its state.

    >>> massive_activations(np.array([[0.1, -2000.0, 0.2], [0.1, 99.0, 0.2], [1.0, 500.0, 1.0]]))
    array([[False,  True, False],
           [False, False, False],
           [False, False, False]])
    """
    magnitude = np.abs(np.asarray(states))
    return _massive(magnitude, np.median(magnitude, axis=-1))


def _massive(magnitude: NDArray[Any], median: NDArray[Any]) -> NDArray[np.bool_]:
    far = magnitude > LEAST_RATIO * median[..., np.newaxis]
    return np.asarray((magnitude > LEAST_MAGNITUDE) & far)


@dataclass(frozen=True)
class _Profile:
    """Moments from one pass over a recording, in the basis of its units.

    Attributes:
        moments: of every unit at every site.
        count: massive activations of each state, `(sample, site)`.
        carrying: share of samples in which a unit is massive, `(site, unit)`.
        largest: the largest |x| over its state's median |x|, over samples, `(site)`.
    """

    moments: UnitMoments
    count: NDArray[np.int64]
    carrying: Floats
    largest: Floats


def _profile(recording: Recording) -> _Profile:
    n_samples, n_sites, n_units = recording.shape
    means, variances, carrying = np.empty((3, n_sites, n_units))
    count = np.empty((n_samples, n_sites), dtype=np.int64)
    largest = np.empty(n_sites)
    for sites, values in recording.site_blocks():
        for site, states in enumerate(site_states(values), start=sites.start):
            means[site], variances[site] = moments_of_states(states)
            require_finite(means[site] + variances[site])
            magnitude = np.abs(states)
            median = np.median(magnitude, axis=1)
            activations = _massive(magnitude, median)
            count[:, site], carrying[site] = activations.sum(axis=1), activations.mean(axis=0)
            largest[site] = np.fmax.reduce(ratio(magnitude.max(axis=1), median))
        del values, states
    return _Profile(UnitMoments(means, variances), count, carrying, largest)


def _top_shares(parts: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The units of the largest part per site, and the share of the first 1, 2, ... together."""
    top = np.argsort(-parts, axis=1, kind="stable")[:, :N_TOP]
    held = np.cumsum(np.take_along_axis(parts, top, axis=1), axis=1)
    return top, ratio(held, parts.sum(axis=1, keepdims=True))


def _shares(profiles: list[_Profile]) -> dict[str, Any]:
    """Variables of the two bases, `(basis, site, top)`, `(basis, site)` and `(basis)`."""
    energies = [each.moments.variance + each.moments.mean**2 for each in profiles]
    by_energy = [_top_shares(energy) for energy in energies]
    by_variance = [_top_shares(each.moments.variance) for each in profiles]
    pooled = [standardization(each.moments.pooled_variance)[0] for each in profiles]
    three, two = ("basis", "site", "top"), ("basis", "site")
    energy = {"units": "1", "denominator": "the site's energy, sum over samples and units of x^2"}
    own = {"units": "1", "denominator": "the site's variance about its own mean, over all units"}
    told = {"units": "units", "definition": MAGNITUDE, "pooling": "in at least one sample"}
    largest = "largest over samples of |x| over the median |x| of the same state"
    return {
        "energy_share": (three, np.stack([share for _, share in by_energy]), energy),
        "variance_share": (three, np.stack([share for _, share in by_variance]), own),
        "top_energy_unit": (
            ("site", "top"),
            by_energy[0][0],
            {"definition": "indices of the units by falling energy at the site"},
        ),
        "top_variance_unit": (
            ("site", "top"),
            by_variance[0][0],
            {"definition": "indices of the units by falling variance at the site"},
        ),
        "n_massive_by_magnitude": (
            two,
            np.stack([(each.carrying > 0).sum(axis=1) for each in profiles]),
            told,
        ),
        "largest_ratio": (
            two,
            np.stack([each.largest for each in profiles]),
            {"units": "1", "definition": largest},
        ),
        "n_massive_by_variance": (
            "basis",
            np.array([each.size for each in pooled]),
            {"units": "units", "definition": VARIANCE},
        ),
    }


def _carriers(profile: _Profile, by_variance: NDArray[np.int64]) -> tuple[Any, dict[str, Any]]:
    """The units that are massive by either definition, where, and how often; variables, coords."""
    by_magnitude = np.flatnonzero((profile.carrying > 0).any(axis=0))
    units = np.union1d(by_magnitude, by_variance)
    deviation = np.sqrt(profile.moments.variance + profile.moments.mean**2)
    variables = {
        "massive_share": (
            ("site", "massive_unit"),
            profile.carrying[:, units],
            {"units": "1", "denominator": f"{len(profile.count)} samples", "definition": MAGNITUDE},
        ),
        "massive_magnitude": (
            ("site", "massive_unit"),
            deviation[:, units],
            {"units": STREAM, "definition": "root mean square over samples"},
        ),
        "massive_count": (
            ("sample", "site"),
            profile.count,
            {"units": "activations", "definition": MAGNITUDE},
        ),
    }
    coords = {
        "massive_unit": ("massive_unit", units),
        "by_magnitude": ("massive_unit", np.isin(units, by_magnitude)),
        "by_variance": ("massive_unit", np.isin(units, by_variance)),
    }
    return variables, coords


def _changes(found: list[Effect], n_texts: int) -> dict[str, Any]:
    """Every result in both versions, and its relative change with the interval over texts."""
    variables: dict[str, Any] = {}
    change, low, high = np.full((3, len(found)), np.nan)
    for place, effect in enumerate(found):
        change[place] = effect.changes[0]
        if n_texts > 1 and effect.changes.size > 1:
            low[place], high[place] = percentile_interval(effect.changes[1:])
        attrs = {"units": UNITS.get(effect.name, "1"), "pooling": "mean over samples"}
        if effect.along:
            variables[effect.name] = (("version", effect.along), effect.profiles, attrs)
        else:
            variables[effect.name] = ("version", effect.profiles[:, 0], attrs)
    attrs = {
        "units": "1",
        "denominator": "the result as recorded",
        "definition": "mean over the profile of (standardized - recorded) / |recorded|",
    }
    interval = {**attrs, "pooling": "percentile interval at 95 %, texts drawn with replacement"}
    return variables | {
        "relative_change": ("quantity", change, attrs),
        "relative_change_low": ("quantity", low, interval),
        "relative_change_high": ("quantity", high, interval),
    }


@measure(
    "massive.activations",
    title="Massive activations and what they carry",
    source="arXiv 2402.17762; what they carry: ours",
)
def activations(recording: Recording, *, n_draws: int = 499, seed: int = 0) -> xr.Dataset:
    """Massive units, their share of the squared norm by site, and of each result.

    Args:
        recording: states `(sample, site, unit)`.
        n_draws: bootstrap draws of texts for the intervals.
        seed: of the draws, of the random basis, and of the choice among more than 512 samples.

    Returns:
        `energy_share`, `variance_share` `(basis, site, top)`, what the first 1, 2, 3 units hold;
        `n_massive_by_magnitude`, `largest_ratio` `(basis, site)`, `n_massive_by_variance`
        `(basis)`; `top_energy_unit`, `top_variance_unit` `(site, top)`; of the units massive by
        either definition `massive_share`, `massive_magnitude` `(site, massive_unit)`, and
        `massive_count` `(sample, site)`. Each result in both versions: `norm`,
        `participation_ratio` `(version, site)`, `speed`, `cosine` `(version, step)`,
        `turning_angle` `(version, turn)`, `tortuosity` `(version)`, `explained_variance`
        `(version, component)`; and `relative_change` `(quantity)` with the ends of its interval.
        Units are in each variable's attrs. NaN, with one `UndefinedWarning`, where a share has no
        denominator, a result is undefined, or there are too few texts for an interval.

    Raises:
        InputError: states are not finite, or `n_draws` is below 1.

    >>> states = np.random.default_rng(0).standard_normal((20, 5, 8)) * [1, 1, 1, 300, 1, 1, 1, 1]
    >>> result = activations(Recording.from_array(states), n_draws=9)
    >>> result["massive_unit"].values, float(result["energy_share"].sel(basis="units").min())
    (array([3]), 0.999...)
    """
    if n_draws < 1:
        raise InputError(f"got n_draws={n_draws}; an interval takes draws: massive(recording)")
    rng = np.random.default_rng(seed)
    samples = np.arange(recording.shape[0])
    if samples.size > MOST_SAMPLES:
        samples = np.sort(rng.choice(samples, MOST_SAMPLES, replace=False))
    profile = _profile(recording)
    rotated = NULLS.get("random_basis").function(recording.isel(sample=samples), seed=seed)
    by_variance, _ = standardization(profile.moments.pooled_variance)
    carriers, carrier_coords = _carriers(profile, by_variance)
    found = effects((recording, standardized(recording)), samples, n_draws=n_draws, seed=seed)
    changes = _changes(found, np.unique(recording.groups).size)
    shares = _shares([profile, _profile(rotated)])
    _warn(shares | changes)
    return xr.Dataset(
        {**shares, **carriers, **changes},
        coords=_coords(recording, changes) | carrier_coords,
        attrs={"by_magnitude": MAGNITUDE, "by_variance": VARIANCE},
    )


def _coords(recording: Recording, changes: Mapping[str, Any]) -> dict[str, Any]:
    n_components = changes["explained_variance"][1].shape[1]
    names = {"basis": BASES, "version": VERSIONS, "quantity": QUANTITIES}
    return {
        **recording.site_coords,
        **recording.step_coords,
        **turn_coords(recording),
        **{dim: (dim, np.array(values, dtype=object)) for dim, values in names.items()},
        "top": ("top", np.arange(1, min(N_TOP, recording.shape[2]) + 1)),
        "component": ("component", np.arange(1, n_components + 1)),
    }


def _warn(variables: Mapping[str, Any]) -> None:
    arrays = {
        name: values for name, (_, values, _) in variables.items() if values.dtype.kind == "f"
    }
    reason = (
        "the states do not vary or have length zero, the sites are too few for a step or turn, or "
        "the texts too few for an interval"
    )
    warn_undefined(arrays, reason, stacklevel=4)
