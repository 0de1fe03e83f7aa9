"""Variables of the result `massive.activations`: top units, massive units, relative changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.massive.effects import Effect
from transformer_dynamics.measures.massive.profile import LEAST_MAGNITUDE, LEAST_RATIO, Profile
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.standardize import MASSIVE_FACTOR, standardization
from transformer_dynamics.stats.bootstrap import percentile_interval
from transformer_dynamics.storage.attributes import STREAM

N_TOP = 3
MAGNITUDE = f"|x| > {LEAST_MAGNITUDE:.0f} and > {LEAST_RATIO:.0f} times the state's median |x|"
VARIANCE = f"pooled variance > {MASSIVE_FACTOR} times the median unit's"
UNITS = {
    "norm": STREAM,
    "speed": f"{STREAM} per step",
    "turning_angle": "rad",
}
CHANGE = {
    "units": "1",
    "denominator": "the result as recorded",
    "definition": "mean over the profile of (standardized - recorded) / |recorded|",
}


def top_units(profiles: Sequence[Profile]) -> dict[str, Any]:
    """Shares of energy and variance that the top units hold, in each basis.

    Args:
        profiles: profiles of the basis of units and of the random basis.

    Returns:
        Variables `(basis, site, top)` and `(site, top)`.
    """
    by_energy = [_top_shares(each.energy) for each in profiles]
    by_variance = [_top_shares(each.moments.variance) for each in profiles]
    dims, of_units = ("basis", "site", "top"), ("site", "top")
    energy = {"units": "1", "denominator": "the site's energy, sum over samples and units of x^2"}
    own = {"units": "1", "denominator": "the site's variance about its own mean, over all units"}
    order = "indices of the units in descending order of {} at the site"
    return {
        "energy_share": (dims, np.stack([share for _, share in by_energy]), energy),
        "variance_share": (dims, np.stack([share for _, share in by_variance]), own),
        "top_energy_unit": (of_units, by_energy[0][0], {"definition": order.format("energy")}),
        "top_variance_unit": (
            of_units,
            by_variance[0][0],
            {"definition": order.format("variance")},
        ),
    }


def _top_shares(parts: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Find the units of largest part per site, and the share of the first 1, 2, ... together."""
    top = np.argsort(-parts, axis=1, kind="stable")[:, :N_TOP]
    held = np.cumsum(np.take_along_axis(parts, top, axis=1), axis=1)
    return top, ratio(held, parts.sum(axis=1, keepdims=True))


def massive_counts(profiles: Sequence[Profile]) -> dict[str, Any]:
    """Numbers of massive units by both definitions, in each basis.

    Args:
        profiles: profiles of the basis of units and of the random basis.

    Returns:
        Variables `(basis, site)` and `(basis)`.
    """
    pooled = [standardization(each.moments.pooled_variance)[0] for each in profiles]
    counted = {"units": "units", "definition": MAGNITUDE, "pooling": "in at least one sample"}
    largest = "largest over samples of |x| over the median |x| of the same state"
    return {
        "n_massive_by_magnitude": (
            ("basis", "site"),
            np.stack([(each.carrying > 0).sum(axis=1) for each in profiles]),
            counted,
        ),
        "largest_ratio": (
            ("basis", "site"),
            np.stack([each.largest for each in profiles]),
            {"units": "1", "definition": largest},
        ),
        "n_massive_by_variance": (
            "basis",
            np.array([each.size for each in pooled]),
            {"units": "units", "definition": VARIANCE},
        ),
    }


def massive_units(profile: Profile) -> tuple[dict[str, Any], dict[str, Any]]:
    """Units that are massive by either definition, with their sites and frequencies.

    Returns:
        Variables along `massive_unit`, and their coordinates.
    """
    by_variance, _ = standardization(profile.moments.pooled_variance)
    by_magnitude = np.flatnonzero((profile.carrying > 0).any(axis=0))
    units = np.union1d(by_magnitude, by_variance)
    variables = {
        "massive_share": (
            ("site", "massive_unit"),
            profile.carrying[:, units],
            {"units": "1", "denominator": f"{len(profile.count)} samples", "definition": MAGNITUDE},
        ),
        "massive_magnitude": (
            ("site", "massive_unit"),
            np.sqrt(profile.energy)[:, units],
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


def changes(effects: Sequence[Effect], n_texts: int) -> dict[str, Any]:
    """Every result in both versions, and its relative change with the interval over texts.

    Args:
        effects: results with their relative changes.
        n_texts: number of texts or groups; one has no interval.
    """
    variables: dict[str, Any] = {}
    change, low, high = np.full((3, len(effects)), np.nan)
    for row, effect in enumerate(effects):
        change[row] = effect.changes[0]
        if n_texts > 1 and effect.changes.size > 1:
            low[row], high[row] = percentile_interval(effect.changes[1:])
        attrs = {"units": UNITS.get(effect.name, "1"), "pooling": "mean over samples"}
        if effect.along:
            variables[effect.name] = (("version", effect.along), effect.profiles, attrs)
        else:
            variables[effect.name] = ("version", effect.profiles[:, 0], attrs)
    interval = {**CHANGE, "pooling": "percentile interval at 95 %, texts drawn with replacement"}
    return variables | {
        "relative_change": ("quantity", change, CHANGE),
        "relative_change_low": ("quantity", low, interval),
        "relative_change_high": ("quantity", high, interval),
    }
