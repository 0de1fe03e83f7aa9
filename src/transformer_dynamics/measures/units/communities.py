"""Unit communities: groups of units that vary together over samples, at several depths.

At each site the graph of units (`unit_graph`) is partitioned by modularity (`partitions`).
Modularity is compared with two null models: `independent_units`, a graph of noise, and
`random_basis`, which keeps the spectrum of the correlation matrix and mixes the units. Partitions
of neighboring sites are compared with each other and with a second run at the same site.

Source: arXiv 2605.14258 for communities of units by correlation; null models and agreement: ours.
Cost: sites x (2 n_null + 2) partitions. Not handled: intervals over texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.units.community_variables import (
    NULL_NAMES,
    QUALITY,
    between_sites,
    coords,
    even_sites,
    shown_correlation,
    site_variables,
)
from transformer_dynamics.measures.units.partitions import (
    Method,
    UnitCommunities,
    unit_communities,
)
from transformer_dynamics.measures.units.unit_graph import (
    MOST_SAMPLES,
    NEIGHBORS,
    zero_filled_z_scores,
)
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS, measure

UNDEFINED = "units do not vary over samples, or samples are fewer than three"


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
        neighbors: number of strongest correlations that each unit keeps as edges.
        method: `louvain`, or `leiden` (extra `communities`).
        n_null: number of draws of each null model.
        n_samples: largest number of samples; more are subsampled, seeded.
        seed: seed of the subsample, the partitions and the null models.

    Returns:
        `community` `(site, unit)`, from 0 for the largest, -1 for units that do not vary;
        `boundary` `(site, unit)`, share of a unit's edge weight that leads to other communities;
        `strength` `(site, unit)`; `modularity`, `n_communities`, `rerun_adjusted_rand` `(site)`;
        `null_modularity` `(null, draw, site)`; `adjusted_rand`, `adjusted_mutual_information`
        `(pair)`, of neighboring sites; `correlation` `(shown, shown_other)`, |r| at the middle
        site, in order of communities, of at most 256 units. NaN, with one `UndefinedWarning`, where
        units do not vary or samples are fewer than three.

    Raises:
        InputError: states that are not finite, or a parameter out of range.
        RecordingError: unknown sites.
        TdynError: `method` is leiden and leidenalg is not installed.
    """
    chosen = _chosen(recording, sites, n_null, n_samples, seed)
    main, rerun, *draws = np.random.SeedSequence(seed).generate_state(2 + n_null).tolist()
    scores = _z_scored(chosen)

    def partitions(states: Floats, seed: int) -> list[UnitCommunities]:
        return [
            unit_communities(site, neighbors=neighbors, method=method, seed=seed)
            for site in np.moveaxis(states, 1, 0)
        ]

    by_site = partitions(scores.values, main)
    null_modularity = [
        [[each.modularity for each in partitions(states, draw)] for draw, states in of_null]
        for of_null in _null_states(scores, draws)
    ]
    variables = {
        **site_variables(by_site, partitions(scores.values, rerun)),
        "null_modularity": (("null", "draw", "site"), np.array(null_modularity), QUALITY),
        **between_sites(by_site),
        **shown_correlation(scores, by_site),
    }
    numbers = {name: each[1] for name, each in variables.items() if each[1].dtype.kind == "f"}
    warn_undefined(numbers, UNDEFINED, stacklevel=3)
    attrs = {"n_samples": chosen.shape[0]}
    return xr.Dataset(variables, coords=coords(recording, chosen), attrs=attrs)


def _chosen(
    recording: Recording, sites: Sequence[str] | None, n_null: int, n_samples: int, seed: int
) -> Recording:
    """Select the sites, in order of depth, and subsample."""
    if n_null < 1 or n_samples < 1 or (sites is not None and not len(sites)):
        raise InputError(
            f"got n_null={n_null}, n_samples={n_samples}, sites={sites}; each number is at least 1 "
            "and sites names at least one site: td.units.communities(recording)"
        )
    wanted = even_sites(recording.sites) if sites is None else list(dict.fromkeys(sites))
    selected = recording.sel(site=wanted)
    by_depth = sorted(wanted, key=recording.sites.index)
    return selected.sel(site=by_depth).sampled(n_samples, seed=seed)


def _null_states(scores: Recording, draws: Sequence[int]) -> Iterator[Iterator[tuple[int, Floats]]]:
    """Iterate over null models and their draws: the seed of the draw and its states.

    Null models are drawn from z-scored units: the correlations are those of the states, and no unit
    of massive variance dominates the random basis.
    """
    for name in NULL_NAMES:
        null = NULLS.get(name).function
        yield ((draw, null(scores, seed=draw).values) for draw in draws)


def _z_scored(recording: Recording) -> Recording:
    """Scale each unit to mean 0 and variance 1 over samples, site by site."""
    states = [zero_filled_z_scores(recording.values[:, site]) for site in range(recording.shape[1])]
    return recording.with_values(np.stack(states, axis=1))
