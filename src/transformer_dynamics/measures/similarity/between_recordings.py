"""Similarity of two recordings of the same samples: a model and its twin, or two models.

With X_s the states of one recording at site s and Y_t those of the other at site t, both
`(sample, unit)`, centered over samples and of unit Frobenius norm, every pair (s, t) is compared by
debiased linear CKA and by the Procrustes distance, as `similarity` defines them. Sites at the
**same relative depth**, index / (number of sites - 1) in each recording, are looked at more
closely:

    interval of CKA         95 % percentile interval of a bootstrap over texts. A draw weights the
                            samples, w_i, and the U-statistic leaves out every pair of a sample with
                            itself, also where it was drawn twice; copies counted as pairs would
                            push CKA up. Over all i, j, k, l that are distinct,
                            HSIC = sum w_i w_j w_k w_l K_ij (L_ij - 2 L_ik + L_kl)
                                   / sum w_i w_j w_k w_l
    interval of Procrustes  value +- t sqrt((g-1)/g sum_j (d_j - mean d)^2), a jackknife that leaves
                            out one of g groups of texts (20, or one text each); resampling with
                            copies would bias a distance that depends on the number of samples
    null                    permuted samples: the pairing is destroyed, all else stays

The same, averaged over the sites of each quarter of depth, is the short table.

What is alike between two models may be what both do to the same tokens, trained or not: an
untrained twin's states tell the same last tokens apart. So a comparison of two models is read
beside that of one of them with its twin.

Sources: arXiv 1905.00414, 2010.15327, 2110.14739; Song et al. (2012, JMLR 13, 1393). Pairing of
depths, the weighted form and the jackknife: ours.

Cost: two times that of the matrices of `similarity`; per site at the same depth ten products of
(draw, n) x (n, n). Not handled: samples that were not matched; layers of two models matched by what
they do and not by where they lie; more than `n_samples` samples; pairs of samples of one text,
which count as independent (an interval over texts is as wide as it should be, its center may be
high).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from transformer_dynamics.measures.similarity.between_sites import CKA, HELD, PROCRUSTES, UNDEFINED
from transformer_dynamics.measures.similarity.cka_procrustes import (
    StateSets,
    cka_of_all,
    permuted_pairs,
    procrustes_of_all,
    procrustes_of_pairs,
    require_draws,
    resampled_cka,
    state_sets,
)
from transformer_dynamics.measures.similarity.pairing import matched_samples
from transformer_dynamics.numerics.arrays import Floats, ratio, warn_undefined
from transformer_dynamics.numerics.parallel import thread_pool
from transformer_dynamics.recording.labels import site_coords
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import comparison
from transformer_dynamics.stats.bootstrap import percentile_interval

N_GROUPS = 20
LEVEL = 0.95
QUARTERS = ("first", "second", "third", "last")


def _without_groups(
    first: StateSets, second: StateSets, text_index: NDArray[np.int64], seed: int
) -> Floats:
    """Procrustes distance of pairs of sets without one group of texts, `(group, pair)`."""
    texts = np.random.default_rng(seed).permutation(np.unique(text_index))
    groups = [group for group in np.array_split(texts, N_GROUPS) if group.size]
    distance = np.full((len(groups), len(first.scores)), np.nan)

    def fill(group: int) -> None:
        kept = ~np.isin(text_index, groups[group])
        scores = [sets.scores[:, kept] for sets in (first, second)]
        scores = [each - each.mean(axis=1, keepdims=True) for each in scores]
        norms = [np.linalg.norm(each, axis=(1, 2)) for each in scores]
        units = [ratio(each, norm[:, None, None]) for each, norm in zip(scores, norms, strict=True)]
        distance[group] = procrustes_of_pairs(*units)

    if len(groups) > 1:
        with thread_pool() as pool:
            list(pool.map(fill, range(len(groups))))
    return distance


@dataclass(frozen=True)
class _Found:
    """A number at several places with what its interval and its null come from.

    Attributes:
        name: cka or procrustes.
        value: `(place)`.
        draws: `(draw, place)`, from the bootstrap, or without each group of texts.
        permuted: `(draw, place)`, from the null.
    """

    name: str
    value: Floats
    draws: Floats
    permuted: Floats

    def in_quarters(self, depth: Floats) -> _Found:
        """Means over the sites of each quarter of depth."""
        means = [_in_quarters(each, depth) for each in (self.value, self.draws, self.permuted)]
        return _Found(self.name, *means)

    def variables(self, prefix: str, dim: str) -> dict[str, Any]:
        """The number, its interval and its null, as variables of a result."""
        if self.name == "cka":
            attrs, how = CKA, "95 % percentile interval, bootstrap over texts"
            low, high = percentile_interval(self.draws, level=LEVEL)
        else:
            attrs, how = PROCRUSTES, f"95 %, jackknife over {len(self.draws)} groups of texts"
            low, high = _jackknifed(self.value, self.draws)
        null = {**attrs, "pooling": f"over {len(self.permuted)} permutations of the samples"}
        name = f"{prefix}_{self.name}"
        return {
            name: (dim, self.value, attrs),
            f"{name}_low": (dim, low, {**attrs, "interval": how}),
            f"{name}_high": (dim, high, {**attrs, "interval": how}),
            f"{name}_permuted": (dim, self.permuted.mean(axis=0), null),
            f"{name}_permuted_sd": (dim, self.permuted.std(axis=0, ddof=1), null),
        }


def _all_pairs(first: StateSets, second: StateSets) -> xr.Dataset:
    """Both matrices, and the shares of variance that the components hold."""
    over = ("site", "other_site")
    return xr.Dataset(
        {
            "cka": (over, cka_of_all(first.grams, second.grams), CKA),
            "procrustes": (over, procrustes_of_all(first.scores, second.scores), PROCRUSTES),
            "variance_held": ("site", first.held, HELD),
            "other_variance_held": ("other_site", second.held, HELD),
        }
    )


def _jackknifed(value: Floats, without: Floats) -> tuple[Floats, Floats]:
    """Interval of `(place)` from what it is without each group, `(group, place)`."""
    n_groups = len(without)
    if n_groups < 2:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    spread = np.sqrt((n_groups - 1) * without.var(axis=0))
    reach = stats.t.ppf((1 + LEVEL) / 2, n_groups - 1) * spread
    return np.maximum(value - reach, 0.0), np.minimum(value + reach, np.sqrt(2.0))


def relative_depth(n_sites: int) -> Floats:
    """Relative depth of sites: 0 for the first, 1 for the last."""
    return np.arange(n_sites) / max(1, n_sites - 1)


def _in_quarters(values: Floats, depth: Floats) -> Floats:
    """Means over the sites of each quarter of depth, `(..., site)` to `(..., quarter)`."""
    quarter = np.minimum((len(QUARTERS) * depth).astype(int), len(QUARTERS) - 1)
    means = np.full((*values.shape[:-1], len(QUARTERS)), np.nan)
    for place in np.unique(quarter):
        means[..., place] = values[..., quarter == place].mean(axis=-1)
    return means


def _chosen(
    recording: Recording, other: Recording, n_samples: int, seed: int
) -> tuple[Recording, Recording]:
    """The matched samples in the same order, at most `n_samples` of them, in memory."""
    rows = matched_samples(recording, other)
    keep = np.arange(len(rows[0]))
    if len(keep) > n_samples:
        generator = np.random.default_rng(seed)
        keep = np.sort(generator.choice(len(keep), n_samples, replace=False))
    first, second = (
        each.isel(sample=row[keep]) for each, row in zip((recording, other), rows, strict=True)
    )
    return first.load(), second.load()


@comparison(
    "similarity.between_recordings",
    title="Similarity of two recordings: CKA and Procrustes distance",
    source="arXiv 1905.00414, 2010.15327, 2110.14739; JMLR 13, 1393 (2012)",
)
def between_recordings(
    recording: Recording,
    other: Recording,
    *,
    n_components: int = 100,
    n_bootstrap: int = 499,
    n_null: int = 20,
    n_samples: int = 512,
    seed: int = 0,
) -> xr.Dataset:
    """CKA and Procrustes distance between the sites of two recordings of the same samples.

    Args:
        recording: the states, `(sample, site, unit)`.
        other: those of the other; its sites and units may differ. Samples are matched by text and
            position, or, under another tokenizer, as the last token of the same text.
        n_components: leading principal components of each site, by itself, on which the Procrustes
            distance is computed.
        n_bootstrap: draws of the bootstrap over texts.
        n_null: permutations of the samples.
        n_samples: at most so many samples, a choice by `seed`.
        seed: of the choice, the bootstrap, the groups of texts and the permutations.

    Returns:
        `cka`, `procrustes` `(site, other_site)`, dimensionless. For both, at the sites of the same
        relative depth, `matched_<name>` `(site)`, the ends of its interval over texts `_low` and
        `_high`, and the null `_permuted` with its `_permuted_sd` (denominator n_null - 1); which
        site of the other it is, is in the coordinate `matched_site`. The same names with `quarter_`
        `(quarter)` are means over the sites of each quarter of depth. `variance_held` `(site)` and
        `other_variance_held` `(other_site)`: shares in the components. NaN, with one
        `UndefinedWarning`, where the states of a site do not vary, and for CKA of fewer than four
        samples; an interval is NaN with fewer than two texts.

    Raises:
        InputError: the recordings are not of the same samples, or a parameter leaves nothing to
            compute.

    >>> states = np.random.default_rng(0).standard_normal((40, 3, 6))
    >>> turned = Recording.from_array(states[:, :, ::-1])
    >>> between_recordings(Recording.from_array(states), turned)["matched_cka"].values.round(6)
    array([1., 1., 1.])
    """
    require_draws(n_components, n_null, n_samples)
    both = _chosen(recording, other, n_samples, seed)
    first, second = (state_sets(each.values, n_components) for each in both)
    result = _all_pairs(first, second)
    warn_undefined(
        {name: result[name].values for name in ("cka", "procrustes")}, UNDEFINED, stacklevel=3
    )
    depth, other_depth = (relative_depth(len(each.held)) for each in (first, second))
    matched = np.abs(depth[:, np.newaxis] - other_depth).argmin(axis=1)
    there = second.chosen(matched)
    groups = both[0].groups
    here, null = np.arange(len(depth)), np.random.default_rng(seed)
    permuted = permuted_pairs(first, there, n_null, null)
    draws = {
        "cka": resampled_cka(first, there, groups, n_bootstrap, seed),
        "procrustes": _without_groups(first, there, groups, seed),
    }
    for (name, each), shuffled in zip(draws.items(), permuted, strict=True):
        found = _Found(name, result[name].values[here, matched], each, shuffled)
        result = result.assign(found.variables("matched", "site"))
        result = result.assign(found.in_quarters(depth).variables("quarter", "quarter"))
    coords = _coords(recording, other, depth, matched)
    return result.assign_coords(coords).assign_attrs(
        n_samples=both[0].shape[0], n_texts=np.unique(both[0].text_index).size
    )


def _coords(
    recording: Recording, other: Recording, depth: Floats, matched: NDArray[np.int64]
) -> dict[str, Any]:
    labels = np.array(other.sites, dtype=object)
    return {
        **site_coords(recording.sites),
        "relative_depth": ("site", depth),
        "matched_site": ("site", labels[matched]),
        "other_site": ("other_site", labels),
        "quarter": ("quarter", np.array(QUARTERS, dtype=object)),
    }
