"""Similarity of two recordings of the same samples: a model and its twin, or two models.

Every pair of sites, one of each recording, is compared by debiased linear CKA and by the Procrustes
distance. Sites at the same relative depth (`matched_depth`) get intervals over texts, a weighted
bootstrap for CKA (`weighted_hsic`) and a jackknife for the Procrustes distance (`jackknife`), and
the null model of permuted samples, which destroys the pairing.

Sources: arXiv 1905.00414, 2010.15327, 2110.14739; Song et al. (2012, JMLR 13, 1393). Matching of
depths, weighted form and jackknife: ours. Cost: twice the matrices of `between_sites`; per matched
site ten products of (draw, n) x (n, n). Limits: pairs of samples of one text count as independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.measures.similarity.between_sites import CKA, HELD, PROCRUSTES, UNDEFINED
from transformer_dynamics.measures.similarity.cka_procrustes import cka_of_all, procrustes_of_all
from transformer_dynamics.measures.similarity.jackknife import procrustes_without_groups
from transformer_dynamics.measures.similarity.matched_depth import (
    QUARTERS,
    MatchedSimilarity,
    matched_sites,
)
from transformer_dynamics.measures.similarity.nulls import permuted_pairs
from transformer_dynamics.measures.similarity.pairing import matched_samples
from transformer_dynamics.measures.similarity.state_sets import (
    StateSets,
    require_draws,
    state_sets,
)
from transformer_dynamics.measures.similarity.weighted_hsic import resampled_cka
from transformer_dynamics.numerics.arrays import Floats, warn_undefined
from transformer_dynamics.recording.labels import site_coords
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import comparison


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
        recording: states `(sample, site, unit)`.
        other: other recording; its sites and units may differ. Samples are matched by text and
            position, or, under another tokenizer, as the last token of the same text.
        n_components: number of principal components of each site for the Procrustes distance.
        n_bootstrap: number of bootstrap draws over texts.
        n_null: number of permutations of the samples.
        n_samples: maximum number of samples; more are subsampled.
        seed: seed of the subsample, the bootstrap, the groups of texts and the permutations.

    Returns:
        `cka`, `procrustes` `(site, other_site)`, dimensionless. For both, at the matched sites,
        `matched_<name>` `(site)`, the ends `_low` and `_high` of its interval over texts, and the
        null `_permuted` with `_permuted_sd` (denominator n_null - 1); the coordinate `matched_site`
        names the site of the other. `quarter_<name>` `(quarter)` are means over the sites of each
        quarter of depth. `variance_held` `(site)`, `other_variance_held` `(other_site)`: shares in
        the components. NaN, with one `UndefinedWarning`, where the states of a site do not vary,
        and for CKA of fewer than four samples; intervals are NaN with fewer than two texts.

    Raises:
        InputError: the samples of the recordings differ, or a parameter leaves nothing to compute.

    >>> states = np.random.default_rng(0).standard_normal((40, 3, 6))
    >>> one, other = (Recording.from_array(each) for each in (states, states[:, :, ::-1]))
    >>> between_recordings(one, other)["matched_cka"].values.round(6)
    array([1., 1., 1.])
    """
    require_draws(n_components, n_null, n_samples)
    both = _subsampled(recording, other, n_samples, seed)
    first, second = (state_sets(part.values, n_components) for part in both)
    result = _all_pairs(first, second)
    uncertain = {name: result[name].values for name in ("cka", "procrustes")}
    warn_undefined(uncertain, UNDEFINED, stacklevel=3)
    depth, matched = matched_sites(len(first.held), len(second.held))
    partner, groups = second.chosen(matched), both[0].groups
    permuted = permuted_pairs(first, partner, n_null, np.random.default_rng(seed))
    draws = {
        "cka": resampled_cka(first, partner, groups, n_bootstrap, seed),
        "procrustes": procrustes_without_groups(first, partner, groups, seed),
    }
    for (name, resampled), null in zip(draws.items(), permuted, strict=True):
        value = result[name].values[np.arange(len(depth)), matched]
        similarity = MatchedSimilarity(name, value, resampled, null)
        result = result.assign(similarity.variables("matched", "site"))
        result = result.assign(similarity.in_quarters(depth).variables("quarter", "quarter"))
    return result.assign_coords(_coords(recording, other, depth, matched)).assign_attrs(
        n_samples=both[0].shape[0], n_texts=np.unique(both[0].text_index).size
    )


def _subsampled(
    recording: Recording, other: Recording, n_samples: int, seed: int
) -> tuple[Recording, Recording]:
    """Matched samples in the same order, at most `n_samples` of them, in memory."""
    rows = matched_samples(recording, other)
    kept = np.arange(len(rows[0]))
    if len(kept) > n_samples:
        generator = np.random.default_rng(seed)
        kept = np.sort(generator.choice(len(kept), n_samples, replace=False))
    first, second = (
        part.isel(sample=row[kept]) for part, row in zip((recording, other), rows, strict=True)
    )
    return first.load(), second.load()


def _all_pairs(first: StateSets, second: StateSets) -> xr.Dataset:
    """Both similarities of all pairs of sites, and the shares of variance in the components."""
    over = ("site", "other_site")
    return xr.Dataset(
        {
            "cka": (over, cka_of_all(first.grams, second.grams), CKA),
            "procrustes": (over, procrustes_of_all(first.scores, second.scores), PROCRUSTES),
            "variance_held": ("site", first.held, HELD),
            "other_variance_held": ("other_site", second.held, HELD),
        }
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
