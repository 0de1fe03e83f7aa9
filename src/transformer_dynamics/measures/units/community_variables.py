"""Variables of the result `units.communities`, and even choices of sites and units."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.units.partitions import UnitCommunities, agreement
from transformer_dynamics.measures.units.unit_graph import absolute_correlation
from transformer_dynamics.recording.recording import Recording

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
    """Choose at most `n_sites` sites evenly over depth, with the first and the last.

    >>> even_sites(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    return [sites[index] for index in even_indices(len(sites), n_sites)]


def even_indices(length: int, most: int) -> NDArray[np.int64]:
    """Choose at most `most` of `length` indices at even distances, with the first and the last."""
    return np.linspace(0, length - 1, min(most, length)).round().astype(np.int64)


def coords(recording: Recording, chosen: Recording) -> dict[str, Any]:
    """Coordinates of the result for the chosen sites of a recording."""
    depth = [recording.sites.index(site) for site in chosen.sites]
    pairs = [f"{one} to {other}" for one, other in pairwise(chosen.sites)]
    return {
        **chosen.site_coords,
        "depth": ("site", np.array(depth)),
        "null": ("null", np.array(NULL_NAMES, dtype=object)),
        "pair": ("pair", np.array(pairs, dtype=object)),
    }


def site_variables(
    by_site: Sequence[UnitCommunities], rerun: Sequence[UnitCommunities]
) -> dict[str, Any]:
    """Variables of single sites, with the agreement of a second run of the partition."""
    per_unit, per_site = ("site", "unit"), ("site",)
    same = [agreement(one.label, other.label)[0] for one, other in zip(by_site, rerun, strict=True)]
    return {
        "community": (per_unit, np.stack([each.label for each in by_site])),
        "boundary": (per_unit, np.stack([each.boundary for each in by_site]), POSITION),
        "strength": (
            per_unit,
            np.stack([each.strength for each in by_site]),
            {"units": "1", "definition": "sum of the |r| of a unit's edges"},
        ),
        "modularity": (per_site, np.array([each.modularity for each in by_site]), QUALITY),
        "n_communities": (per_site, np.array([each.n_communities for each in by_site])),
        "rerun_adjusted_rand": (
            per_site,
            np.array(same),
            {"units": "1", "definition": "adjusted Rand index of two seeds of the partition"},
        ),
    }


def between_sites(by_site: Sequence[UnitCommunities]) -> dict[str, Any]:
    """Agreement of the partitions of neighboring sites, `(pair)`."""
    pairs = [agreement(one.label, other.label) for one, other in pairwise(by_site)]
    values = np.array(pairs).reshape(-1, 2)
    names = ("adjusted_rand", "adjusted_mutual_information")
    return {
        name: ("pair", values[:, column], {"units": "1", "definition": "of neighboring sites"})
        for column, name in enumerate(names)
    }


def shown_correlation(scores: Recording, by_site: Sequence[UnitCommunities]) -> dict[str, Any]:
    """Correlate the units of the middle site in order of their community, evenly thinned."""
    site = len(by_site) // 2
    label, strength = by_site[site].label, by_site[site].strength
    # Within a community, the units with the largest strength come first.
    order = np.lexsort((-strength, label))
    units = order[even_indices(order.size, MOST_SHOWN)]
    absolute = {
        "units": "1",
        "definition": "|Pearson's r| over samples",
        "site": scores.sites[site],
    }
    values = absolute_correlation(scores.values[:, site][:, units])
    return {
        "correlation": (("shown", "shown_other"), values, absolute),
        "shown_unit": ("shown", units),
        "shown_community": ("shown", label[units]),
    }
