"""Graph of units by correlation, its communities, and the place of each unit in them.

Two units are joined where either is among the other's `neighbors` strongest by |r|, Pearson's r
over samples at one site; the weight of an edge is |r|. With weights w, strengths s_u = sum_v w_uv,
2m = sum_u s_u and c_u the community of unit u:

    modularity   Q = sum over pairs with c_u = c_v of (w_uv / 2m - s_u s_v / (2m)^2)
    boundary     b_u = share of s_u that leads to units of other communities, 0 to 1

Partitions maximize Q: Louvain (networkx), or Leiden (leidenalg, GPL, an extra), which also keeps
every community connected. Sparse random graphs have a high Q by themselves, and k nearest
neighbors make any correlation matrix sparse: Q means nothing without its nulls.

Cost: one product (unit, sample, unit), then 0.1 s per partition of 576 units.
Sources: Blondel et al. 2008, Traag et al. 2019; the boundary follows Guimera and Amaral 2005, whose
participation coefficient also asks over how many communities the outward edges spread.
Not handled: signs of correlations, overlapping communities, resolutions other than 1.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.numerics.arrays import Floats

Labels = NDArray[np.int64]
Method = Literal["louvain", "leiden"]
# The label of a unit without edges: one that does not vary over samples.
NO_COMMUNITY = -1
LEAST_SAMPLES = 3
NEIGHBORS = 10
# Samples of a correlation; the random bases cost in proportion to them.
MOST_SAMPLES = 512


class UnitCommunities(NamedTuple):
    """The communities of one site's units.

    Attributes:
        label: `(unit)`, from 0 for the largest community; -1 for units without edges.
        modularity: of the partition; NaN for a graph without edges.
        boundary: `(unit)`, share of a unit's edge weight that leads to other communities; NaN for
            units without edges.
        strength: `(unit)`, sum of a unit's edge weights.
    """

    label: Labels
    modularity: float
    boundary: Floats
    strength: Floats

    @property
    def n_communities(self) -> int:
        """Number of communities."""
        return int(self.label.max() + 1)


def unit_communities(
    states: NDArray[Any], *, neighbors: int = NEIGHBORS, method: Method = "louvain", seed: int = 0
) -> UnitCommunities:
    """Communities of the units of one site, `(sample, unit)`.

    Raises:
        InputError: states that are not finite, or a parameter out of range.
        TdynError: `method` is leiden and leidenalg is not installed.
    """
    graph = strongest_neighbors(absolute_correlation(states), neighbors)
    label = partition(graph, method=method, seed=seed)
    quality, boundary = positions(graph, label)
    return UnitCommunities(
        label, quality, boundary, np.asarray(graph.sum(axis=1), dtype=np.float64)
    )


def standardized(states: NDArray[Any]) -> Floats:
    """Units with mean 0 and variance 1 over samples, `(sample, unit)`.

    Constant units are 0, and all units of fewer than three samples: two samples put any two units
    on a line.

    Raises:
        InputError: states that are not finite.
    """
    values = np.asarray(states, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(
            "got states that are not finite; a correlation of units needs at least 3 finite "
            "samples: recording.isel(sample=np.isfinite(recording.values).all(axis=(1, 2)))"
        )
    # By the range, since the deviation of equal numbers may round above zero.
    varies = (values.max(axis=0) > values.min(axis=0)) & (len(values) >= LEAST_SAMPLES)
    centered = np.where(varies, values - values.mean(axis=0), 0.0)
    scale = np.sqrt((centered**2).mean(axis=0))
    return centered / np.where(scale > 0, scale, 1.0)


def absolute_correlation(states: NDArray[Any]) -> Floats:
    """Pearson's |r| of all pairs of units over samples, `(unit, unit)`, with a zero diagonal.

    Units that do not vary have correlation 0 with every other.
    """
    scores = standardized(states)
    magnitude: Floats = np.minimum(np.abs(scores.T @ scores) / len(scores), 1.0)
    np.fill_diagonal(magnitude, 0.0)
    return magnitude


def strongest_neighbors(weights: Floats, neighbors: int) -> sparse.csr_array:
    """The weights of edges among the strongest of either of their units, symmetric.

    Args:
        weights: `(unit, unit)`, symmetric, at least 0, with a zero diagonal.
        neighbors: strongest edges that each unit keeps; all of them where there are fewer.

    Raises:
        InputError: `neighbors` is below 1.
    """
    if neighbors < 1:
        raise InputError(
            f"got neighbors={neighbors}; each unit keeps at least 1 edge: "
            f"td.units.communities(recording, neighbors={NEIGHBORS})"
        )
    n_units = len(weights)
    kept = np.ones(weights.shape, dtype=bool)
    if neighbors < n_units - 1:
        strongest = np.argpartition(-weights, neighbors - 1, axis=1)[:, :neighbors]
        kept[:] = False
        np.put_along_axis(kept, strongest, True, axis=1)
    return sparse.csr_array(np.where(kept | kept.T, weights, 0.0))


def partition(graph: sparse.csr_array, *, method: Method = "louvain", seed: int = 0) -> Labels:
    """Communities of high modularity, `(unit)`, numbered from 0 by descending size.

    Args:
        graph: symmetric weights `(unit, unit)`.
        method: `louvain`, or `leiden`.
        seed: of the order in which units are visited.

    Raises:
        InputError: an unknown method.
        TdynError: `method` is leiden and leidenalg is not installed.
    """
    if method not in get_args(Method):
        raise InputError(
            f"got method={method!r}; it is one of {', '.join(get_args(Method))}: "
            "td.units.communities(recording, method='louvain')"
        )
    find: Callable[[sparse.csr_array, int], Labels] = {"louvain": _louvain, "leiden": _leiden}[
        method
    ]
    label = np.full(graph.shape[0], NO_COMMUNITY, dtype=np.int64)
    joined = np.flatnonzero(graph.sum(axis=1) > 0)
    if not joined.size:
        return label
    found = find(graph[joined][:, joined], seed)
    sizes, firsts = np.bincount(found), np.unique(found, return_index=True)[1]
    rank = np.empty(sizes.size, dtype=np.int64)
    # Among communities of one size, the one that holds the first unit comes first.
    rank[np.lexsort((firsts, -sizes))] = np.arange(sizes.size)
    label[joined] = rank[found]
    return label


def positions(graph: sparse.csr_array, label: Labels) -> tuple[float, Floats]:
    """Modularity of a partition, and the boundary position of every unit, `(unit)`.

    Args:
        graph: symmetric weights `(unit, unit)`.
        label: community of each unit, `(unit)`; -1 for units without edges.

    >>> chain = sparse.csr_array(np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1))
    >>> positions(chain, np.array([0, 0, 1, 1]))
    (0.1666..., array([0. , 0.5, 0.5, 0. ]))
    """
    strength = graph.sum(axis=1)
    total = strength.sum()
    if total == 0:
        return np.nan, np.full(strength.size, np.nan)
    joined = np.flatnonzero(label != NO_COMMUNITY)
    shape = (label.size, int(label.max()) + 1)
    member = sparse.csr_array((np.ones(joined.size), (joined, label[joined])), shape=shape)
    towards = (graph @ member).toarray()
    inside = towards[joined, label[joined]]
    # Units without edges outwards have boundary 0 exactly: ranks must find them tied.
    towards[joined, label[joined]] = 0.0
    boundary = np.full(label.size, np.nan)
    boundary[joined] = towards[joined].sum(axis=1) / strength[joined]
    by_community = member.T @ strength
    quality = inside.sum() / total - ((by_community / total) ** 2).sum()
    return float(quality), boundary


def _louvain(graph: sparse.csr_array, seed: int) -> Labels:
    import networkx

    network = networkx.from_scipy_sparse_array(graph)
    label = np.empty(graph.shape[0], dtype=np.int64)
    for place, members in enumerate(networkx.community.louvain_communities(network, seed=seed)):
        label[list(members)] = place
    return label


def _leiden(graph: sparse.csr_array, seed: int) -> Labels:
    leidenalg, igraph = _package("leidenalg"), _package("igraph")
    upper = sparse.triu(graph, k=1).tocoo()
    edges = np.stack([upper.row, upper.col], axis=1)
    network = igraph.Graph(n=graph.shape[0], edges=edges.tolist())
    found = leidenalg.find_partition(
        network,
        leidenalg.ModularityVertexPartition,
        weights=upper.data.tolist(),
        # Until nothing improves.
        n_iterations=-1,
        # It takes 31 bits.
        seed=seed % 2**31,
    )
    return np.asarray(found.membership, dtype=np.int64)


def _package(name: str) -> ModuleType:
    """A package of the extra, loaded when it is needed.

    Raises:
        TdynError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TdynError(
            f"method='leiden' takes the package {name}, which is not installed; install it with "
            "pip install 'transformer-dynamics[communities]', or use method='louvain'"
        ) from error
