"""Sites of two recordings at the same relative depth, and the similarity there.

The relative depth of a site is its index / (number of sites - 1). A site is matched with the site
of the other recording that is nearest in relative depth. Limits: layers of two models that
correspond by function and not by depth are not matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.similarity.between_sites import CKA, PROCRUSTES
from transformer_dynamics.measures.similarity.jackknife import jackknife_interval
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.stats.bootstrap import percentile_interval

LEVEL = 0.95
QUARTERS = ("first", "second", "third", "last")


def relative_depth(n_sites: int) -> Floats:
    """Relative depth of sites: 0 for the first, 1 for the last."""
    return np.arange(n_sites) / max(1, n_sites - 1)


def matched_sites(n_sites: int, n_other_sites: int) -> tuple[Floats, NDArray[np.int64]]:
    """Relative depth of each site, and the index of the other recording's site nearest to it.

    >>> matched_sites(5, 3)[1]
    array([0, 0, 1, 1, 2])
    """
    depth, other_depth = relative_depth(n_sites), relative_depth(n_other_sites)
    return depth, np.abs(depth[:, np.newaxis] - other_depth).argmin(axis=1)


@dataclass(frozen=True)
class MatchedSimilarity:
    """One similarity at matched sites, with the draws of its interval and of its null.

    Attributes:
        name: `cka` or `procrustes`.
        value: `(site)`, or `(quarter)`.
        draws: `(draw, site)`, of the bootstrap (cka), or without each group of texts (procrustes).
        permuted: `(draw, site)`, of the null.
    """

    name: str
    value: Floats
    draws: Floats
    permuted: Floats

    def in_quarters(self, depth: Floats) -> MatchedSimilarity:
        """Average over the sites of each quarter of depth."""
        means = [_in_quarters(array, depth) for array in (self.value, self.draws, self.permuted)]
        return MatchedSimilarity(self.name, *means)

    def variables(self, prefix: str, dim: str) -> dict[str, Any]:
        """Value, interval and null as variables of a result along `dim`."""
        if self.name == "cka":
            attrs, interval = CKA, "95 % percentile interval, bootstrap over texts"
            low, high = percentile_interval(self.draws, level=LEVEL)
        else:
            attrs, interval = PROCRUSTES, f"95 %, jackknife over {len(self.draws)} groups of texts"
            low, high = jackknife_interval(self.value, self.draws, level=LEVEL)
        null = {**attrs, "pooling": f"over {len(self.permuted)} permutations of the samples"}
        name = f"{prefix}_{self.name}"
        return {
            name: (dim, self.value, attrs),
            f"{name}_low": (dim, low, {**attrs, "interval": interval}),
            f"{name}_high": (dim, high, {**attrs, "interval": interval}),
            f"{name}_permuted": (dim, self.permuted.mean(axis=0), null),
            f"{name}_permuted_sd": (dim, self.permuted.std(axis=0, ddof=1), null),
        }


def _in_quarters(values: Floats, depth: Floats) -> Floats:
    """Means over the sites of each quarter of depth, `(..., site)` to `(..., quarter)`."""
    quarters = np.minimum((len(QUARTERS) * depth).astype(int), len(QUARTERS) - 1)
    means = np.full((*values.shape[:-1], len(QUARTERS)), np.nan)
    for quarter in np.unique(quarters):
        means[..., quarter] = values[..., quarters == quarter].mean(axis=-1)
    return means
