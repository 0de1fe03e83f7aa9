"""Unit communities: groups of units that vary together over samples, at several depths.

At each site the graph of units (see `unit_graph`) is partitioned by modularity. Three questions
have their numbers:

    Is there more structure than in a graph of noise? Modularity against `independent_units`.
    Is it bound to single units? Modularity against `random_basis`, which keeps the spectrum of the
    correlation matrix and mixes the units.
    Does it persist over depth? Agreement of neighboring sites' partitions, against the agreement
    of two runs of the algorithm at one site, which is its ceiling.

Both nulls are drawn of units standardized at each site: the correlations are the same, and a unit
of massive variance cannot dominate every unit of the random basis.

Source: arXiv 2605.14258 for communities of units by correlation; nulls and agreement: ours.
Cost: sites x (2 n_null + 2) partitions. Not handled: intervals over texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.units.unit_graph import (
    MOST_SAMPLES,
    NEIGHBORS,
    NO_COMMUNITY,
    Labels,
    Method,
    UnitCommunities,
    absolute_correlation,
    standardized,
    unit_communities,
)
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS, measure

N_SITES = 6
NULL_NAMES = ("independent_units", "random_basis")
# Units of the correlation matrix that is kept for the figure.
MOST_SHOWN = 256
POSITION = {
    "units": "1",
    "definition": "share of edge weight that leads to other communities",
    "denominator": "the unit's sum of edge weights",
}
QUALITY = {"units": "1", "definition": "modularity of the weighted graph, resolution 1"}


def even_sites(sites: Sequence[str], n_sites: int = N_SITES) -> list[str]:
    """At most so many sites at even distances over depth, the first and the last among them.

    >>> even_sites(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    places = np.linspace(0, len(sites) - 1, min(n_sites, len(sites))).round().astype(int)
    return [sites[place] for place in places]


def agreement(one: Labels, other: Labels) -> tuple[float, float]:
    """Adjusted Rand index and adjusted mutual information of two partitions of the same units.

    Args:
        one: community of each unit, `(unit)`; units labeled -1 in either are left out.
        other: the same of the other partition.

    Returns:
        Both are 1 for equal partitions and 0 on average for unrelated ones; NaN for fewer than two
        units.
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    both = (one != NO_COMMUNITY) & (other != NO_COMMUNITY)
    if both.sum() < 2:
        return np.nan, np.nan
    pair = one[both], other[both]
    return float(adjusted_rand_score(*pair)), float(adjusted_mutual_info_score(*pair))


@measure(
    "units.communities",
    title="Communities of units that vary together",
    source="arXiv 2605.14258; Blondel et al. 2008; nulls: ours",
)
def communities(
    recording: Recording,
    *,
    sites: Sequence[str] | None = None,
    neighbors: int = NEIGHBORS,
    method: Method = "louvain",
    n_null: int = 5,
    n_samples: int = MOST_SAMPLES,
    seed: int = 0,
) -> xr.Dataset:
    """Communities of units at several sites, with the modularity of two null models.

    Args:
        recording: states `(sample, site, unit)`.
        sites: labels of sites; by default six at even distances over depth.
        neighbors: strongest correlations that each unit keeps as edges.
        method: `louvain`, or `leiden` (extra `communities`).
        n_null: draws of each null.
        n_samples: at most so many samples, a choice by `seed`.
        seed: of the choice of samples, the partitions and the nulls.

    Returns:
        `community` `(site, unit)`, from 0 for the largest, -1 for units that do not vary;
        `boundary` `(site, unit)`, share of a unit's edge weight that leads to other communities;
        `strength` `(site, unit)`; `modularity`, `n_communities`, `rerun_adjusted_rand` `(site)`;
        `null_modularity` `(null, draw, site)`; `adjusted_rand`, `adjusted_mutual_information`
        `(pair)`, of neighboring sites; `correlation` `(shown, shown_other)`, |r| at the middle
        site, in order of communities, of at most 256 units. NaN, with one `UndefinedWarning`, where
        units do not vary or samples are fewer than three.

    Raises:
        InputError: states that are not finite, a parameter out of range, or unknown sites.
        TdynError: `method` is leiden and leidenalg is not installed.
    """
    if n_null < 1 or n_samples < 1 or (sites is not None and not len(sites)):
        raise InputError(
            f"got n_null={n_null}, n_samples={n_samples}, sites={sites}; each number is at least 1 "
            "and one site at least is named: td.units.communities(recording)"
        )
    wanted = even_sites(recording.sites) if sites is None else list(dict.fromkeys(sites))
    chosen = recording.sel(site=wanted)
    by_depth = sorted(wanted, key=recording.sites.index)
    chosen = chosen.sel(site=by_depth).sampled(n_samples, seed=seed)
    standard = _standardized(chosen)
    main, rerun, *draws = np.random.SeedSequence(seed).generate_state(2 + n_null).tolist()

    def found_in(states: Floats, seed: int) -> list[UnitCommunities]:
        return [
            unit_communities(states[:, site], neighbors=neighbors, method=method, seed=seed)
            for site in range(states.shape[1])
        ]

    found = found_in(standard.values, main)
    null_modularity = [
        [
            [each.modularity for each in found_in(drawn(standard, seed=draw).values, draw)]
            for draw in draws
        ]
        for drawn in (NULLS.get(name).function for name in NULL_NAMES)
    ]
    variables = {
        **_site_variables(found, found_in(standard.values, rerun)),
        "null_modularity": (("null", "draw", "site"), np.array(null_modularity), QUALITY),
        **_between_sites(found),
        **_shown(standard, found),
    }
    warn_undefined(
        {name: each[1] for name, each in variables.items() if each[1].dtype.kind == "f"},
        "units do not vary over samples, or samples are fewer than three",
        stacklevel=3,
    )
    pairs = [f"{one} to {other}" for one, other in pairwise(by_depth)]
    return xr.Dataset(
        variables,
        coords={
            **chosen.site_coords,
            "depth": ("site", np.array([recording.sites.index(site) for site in by_depth])),
            "null": ("null", np.array(NULL_NAMES, dtype=object)),
            "pair": ("pair", np.array(pairs, dtype=object)),
        },
        attrs={"n_samples": chosen.shape[0]},
    )


def _standardized(recording: Recording) -> Recording:
    """Every unit with mean 0 and variance 1 over samples, site by site."""
    states = [standardized(recording.values[:, site]) for site in range(recording.shape[1])]
    return recording.with_values(np.stack(states, axis=1))


def _site_variables(
    found: Sequence[UnitCommunities], again: Sequence[UnitCommunities]
) -> dict[str, Any]:
    per_unit, per_site = ("site", "unit"), ("site",)
    same = np.array(
        [agreement(one.label, other.label)[0] for one, other in zip(found, again, strict=True)]
    )
    return {
        "community": (per_unit, np.stack([each.label for each in found])),
        "boundary": (per_unit, np.stack([each.boundary for each in found]), POSITION),
        "strength": (
            per_unit,
            np.stack([each.strength for each in found]),
            {"units": "1", "definition": "sum of the |r| of a unit's edges"},
        ),
        "modularity": (per_site, np.array([each.modularity for each in found]), QUALITY),
        "n_communities": (per_site, np.array([each.n_communities for each in found])),
        "rerun_adjusted_rand": (
            per_site,
            same,
            {"units": "1", "definition": "adjusted Rand index of two seeds of the partition"},
        ),
    }


def _between_sites(found: Sequence[UnitCommunities]) -> dict[str, Any]:
    pairs = [agreement(one.label, other.label) for one, other in pairwise(found)]
    values = np.array(pairs).reshape(-1, 2)
    names = ("adjusted_rand", "adjusted_mutual_information")
    return {
        name: ("pair", values[:, place], {"units": "1", "definition": "of neighboring sites"})
        for place, name in enumerate(names)
    }


def _shown(standard: Recording, found: Sequence[UnitCommunities]) -> dict[str, Any]:
    """Correlations at the middle site, of units in order of their community, evenly thinned."""
    site = len(found) // 2
    label, strength = found[site].label, found[site].strength
    # Within a community, units that hold it together come first.
    order = np.lexsort((-strength, label))
    places = np.linspace(0, order.size - 1, min(MOST_SHOWN, order.size)).round().astype(int)
    units = order[places]
    absolute = {
        "units": "1",
        "definition": "|Pearson's r| over samples",
        "site": standard.sites[site],
    }
    values = absolute_correlation(standard.values[:, site][:, units])
    return {
        "correlation": (("shown", "shown_other"), values, absolute),
        "shown_unit": ("shown", units),
        "shown_community": ("shown", label[units]),
    }
