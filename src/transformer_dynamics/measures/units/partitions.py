"""Partitions of the graph of units into communities, and the position of each unit in them.

With weights w, strengths s_u = sum_v w_uv, 2m = sum_u s_u and c_u the community of unit u:

    modularity   Q = sum over pairs with c_u = c_v of (w_uv / 2m - s_u s_v / (2m)^2)
    boundary     b_u = share of s_u that leads to units of other communities, 0 to 1

Partitions maximize Q by the Louvain (networkx) or the Leiden algorithm (leidenalg, GPL, an extra).
Sources: Blondel et al. 2008, Traag et al. 2019; the boundary follows Guimera and Amaral 2005.
Cost: 0.1 s per partition of 576 units. Not handled: overlapping communities, other resolutions.
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
from transformer_dynamics.measures.units.unit_graph import (
    NEIGHBORS,
    absolute_correlation,
    strongest_neighbors,
)
from transformer_dynamics.numerics.arrays import Floats

Labels = NDArray[np.int64]
Method = Literal["louvain", "leiden"]
# Label of a unit without edges, which is one that does not vary over samples.
NO_COMMUNITY = -1


class UnitCommunities(NamedTuple):
    """Communities of the units of one site.

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
    """Find the communities of the units of one site, `(sample, unit)`.

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


def partition(graph: sparse.csr_array, *, method: Method = "louvain", seed: int = 0) -> Labels:
    """Find communities of high modularity, `(unit)`, numbered from 0 by descending size.

    Args:
        graph: symmetric weights `(unit, unit)`.
        method: `louvain`, or `leiden`, which also keeps every community connected.
        seed: seed of the order in which units are visited.

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
    membership = find(graph[joined][:, joined], seed)
    sizes, firsts = np.bincount(membership), np.unique(membership, return_index=True)[1]
    rank = np.empty(sizes.size, dtype=np.int64)
    # Communities of equal size are ordered by their first unit.
    rank[np.lexsort((firsts, -sizes))] = np.arange(sizes.size)
    label[joined] = rank[membership]
    return label


def positions(graph: sparse.csr_array, label: Labels) -> tuple[float, Floats]:
    """Compute the modularity of a partition and the boundary position of each unit, `(unit)`.

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
    # Exactly 0 for units without outward edges, so that ranks find them tied.
    towards[joined, label[joined]] = 0.0
    boundary = np.full(label.size, np.nan)
    boundary[joined] = towards[joined].sum(axis=1) / strength[joined]
    by_community = member.T @ strength
    quality = inside.sum() / total - ((by_community / total) ** 2).sum()
    return float(quality), boundary


def agreement(one: Labels, other: Labels) -> tuple[float, float]:
    """Compare two partitions of the same units: adjusted Rand index, adjusted mutual information.

    Args:
        one: community of each unit, `(unit)`; units labeled -1 in either partition are left out.
        other: community of each unit in the other partition.

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


def _louvain(graph: sparse.csr_array, seed: int) -> Labels:
    import networkx

    network = networkx.from_scipy_sparse_array(graph)
    label = np.empty(graph.shape[0], dtype=np.int64)
    for number, members in enumerate(networkx.community.louvain_communities(network, seed=seed)):
        label[list(members)] = number
    return label


def _leiden(graph: sparse.csr_array, seed: int) -> Labels:
    leidenalg, igraph = _package("leidenalg"), _package("igraph")
    upper = sparse.triu(graph, k=1).tocoo()
    edges = np.stack([upper.row, upper.col], axis=1)
    network = igraph.Graph(n=graph.shape[0], edges=edges.tolist())
    result = leidenalg.find_partition(
        network,
        leidenalg.ModularityVertexPartition,
        weights=upper.data.tolist(),
        # -1 iterates until nothing improves.
        n_iterations=-1,
        # Seeds have 31 bits there.
        seed=seed % 2**31,
    )
    return np.asarray(result.membership, dtype=np.int64)


def _package(name: str) -> ModuleType:
    """Import a package of the extra `communities`.

    Raises:
        TdynError: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TdynError(
            f"method='leiden' takes the package {name}, which is not installed; install it with "
            "pip install 'transformer-dynamics[communities]', or use method='louvain'"
        ) from error
