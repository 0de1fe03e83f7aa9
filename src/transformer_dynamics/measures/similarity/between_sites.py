"""Similarity of the states at two sites: centered kernel alignment and Procrustes distance.

Both compare two sets of states of the same samples, X `(sample, unit)` and Y, each centered on its
mean over samples, and neither changes when a set is rotated, shifted or scaled as a whole. With the
linear Gram matrices K = X X^T and L = Y Y^T,

    CKA         HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)),   at most 1; 1: the same up to rotation
    Procrustes  min over orthogonal R of |X R / |X| - Y / |Y||, from 0 (same) to sqrt(2)
                = sqrt(2 - 2 nuc(X^T Y) / (|X| |Y|)),       nuc: sum of the singular values
    angular     arccos(nuc(X^T Y) / (|X| |Y|)),             from 0 to pi/2, a metric too

|.| being Frobenius norms. CKA is debiased: HSIC is the U-statistic that leaves out every pair of a
sample with itself, so that unrelated sets give 0 on average. The plug-in (biased) CKA of unrelated
sets rises towards 1 as units outnumber samples; it is given by `cka(..., debiased=False)`. The
Procrustes distance has no such correction: of unrelated sets it is well below sqrt(2) and falls as
units outnumber samples, so it can be read only beside its null.

Two nulls stand beside the profile of neighboring sites: **permuted samples** (pairing destroyed;
debiased CKA about 0) and **independent steps**, a walk that takes the recording's own steps, each
with its samples permuted. Neighboring states share all but one step, and so does that walk: in an
isotropic walk of equal steps the CKA of states s and t > s, counted from one, is s/t. Only a
difference from the walk says that steps depend on the state they are added to, or on each other.

Sources: Kornblith et al. (arXiv 1905.00414), Nguyen et al. (arXiv 2010.15327) for the debiased
form, Song et al. (2012, JMLR 13, 1393) for its estimator, Williams et al. (arXiv 2110.14739). The
walk as the null: ours.

Cost of the measure: per site one product of n x n x D and the leading eigenvectors of a matrix of
size min(n, D), twice (the walk); all pairs of CKA are one product of (site, n^2); per pair of
sites one nuclear norm of a matrix of `n_components`. 8 n^2 bytes are kept per site, n at most
`n_samples`. The kernels take n^2 D and min(n, D)^3.

Not handled: kernels that are not linear; units on their own scale (a few units of large variance
dominate both numbers); dependence between samples of one text, which permuting breaks as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.similarity.cka_procrustes import (
    FEWEST_SAMPLES,
    cka_of_all,
    cka_of_pairs,
    independent_steps,
    neighbors,
    permuted_pairs,
    procrustes_of_all,
    require_draws,
    state_sets,
    u_centered,
)
from transformer_dynamics.numerics.arrays import (
    Floats,
    require_sites,
    unit_frobenius,
    warn_undefined,
)
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

CKA = {"units": "1", "definition": "debiased linear CKA of the two sites' states, at most 1"}
PROCRUSTES = {
    "units": "1",
    "definition": "|X R - Y|, both on their own leading components and of unit norm; 0 to sqrt(2)",
}
HELD = {"units": "1", "denominator": "the site's variance about its own mean, all units"}
UNDEFINED = (
    "the states of a site do not vary, or vary in one sample alone, or there are fewer than "
    f"{FEWEST_SAMPLES} samples (cka)"
)


def cka(x: NDArray[np.floating], y: NDArray[np.floating], *, debiased: bool = True) -> float:
    """Linear centered kernel alignment of two sets of states of the same samples.

    Args:
        x: `(sample, unit)`.
        y: `(sample, unit)`, the same samples; the number of units may differ.
        debiased: the unbiased HSIC (about 0 for unrelated sets, slightly negative at times), or
            the plug-in one (from 0 to 1, and well above 0 for unrelated sets of many units).

    Returns:
        CKA, dimensionless, at most 1; NaN, with one `UndefinedWarning`, where a set does not vary,
        varies in one sample alone (debiased), or is not finite.

    Raises:
        InputError: the shapes do not fit, or there are fewer than 4 samples (2 if biased): the
            unbiased HSIC is an average over four distinct samples.

    >>> x = np.array([[0.0], [1.0], [2.0], [4.0], [8.0]])
    >>> round(cka(x, np.hstack([3 - 2 * x, 0 * x])), 12)
    1.0
    """
    _require_pair(x, y, FEWEST_SAMPLES if debiased else 2, "cka")
    grams = [each @ each.T for each in (unit_frobenius(x), unit_frobenius(y))]
    if debiased:
        grams = [u_centered(gram) for gram in grams]
    value = cka_of_pairs(grams[0][np.newaxis], grams[1][np.newaxis])
    warn_undefined({"cka": value}, "a set of states does not vary", stacklevel=2)
    return float(value[0])


def procrustes_distance(
    x: NDArray[np.floating], y: NDArray[np.floating], *, angular: bool = False
) -> float:
    """Distance of two sets of states once both are centered, scaled and rotated onto each other.

    Args:
        x: `(sample, unit)`.
        y: `(sample, unit)`, the same samples. The set of fewer units is padded with units that are
            zero; what is compared are then both in the larger space.
        angular: the angle 2 arcsin(distance / 2) in radians in place of the distance.

    Returns:
        |X R - Y| of the sets centered and scaled to unit Frobenius norm, R the best orthogonal
        matrix (reflections allowed), from 0 to sqrt(2); or the angle, from 0 to pi/2. NaN, with one
        `UndefinedWarning`, where a set does not vary or is not finite. `scipy.spatial.procrustes`,
        which scales X as well, has the disparity 1 - (1 - distance^2 / 2)^2.

    Raises:
        InputError: the shapes do not fit, or there are fewer than two samples.

    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]])
    >>> procrustes_distance(x, 5 * x[:, ::-1]) < 1e-12
    True
    """
    _require_pair(x, y, 2, "procrustes_distance")
    fewer, more = _compact(unit_frobenius(x)), _compact(unit_frobenius(y))
    if fewer.shape[1] > more.shape[1]:
        fewer, more = more, fewer
    distance = np.nan
    if np.isfinite(fewer).all() and np.isfinite(more).all():
        left, _, right = np.linalg.svd(fewer.T @ more, full_matrices=False)
        distance = min(float(np.linalg.norm(fewer @ (left @ right) - more)), np.sqrt(2.0))
    what = "angle" if angular else "distance"
    warn_undefined({what: np.array([distance])}, "a set of states does not vary", stacklevel=2)
    return float(2 * np.arcsin(distance / 2)) if angular else distance


def _compact(states: Floats) -> Floats:
    """The same distances between samples in at most as many units as there are samples."""
    n_samples, n_units = states.shape
    if n_units <= n_samples or not np.isfinite(states).all():
        return states
    triangle: Floats = np.linalg.qr(states.T, mode="reduced").R
    return triangle.T


def _require_pair(x: NDArray[np.floating], y: NDArray[np.floating], fewest: int, call: str) -> None:
    shapes = np.shape(x), np.shape(y)
    if any(len(shape) != 2 or shape[1] < 1 or shape[0] < fewest for shape in shapes) or (
        shapes[0][0] != shapes[1][0]
    ):
        raise InputError(
            f"got sets of shapes {shapes[0]} and {shapes[1]}; both are (sample, unit), the same "
            f"samples in both and at least {fewest}: {call}(recording.values[:, 0], "
            "recording.values[:, -1])"
        )


def _variables(
    name: str, matrix: Floats, permuted: Floats, walk: Floats, attrs: dict[str, str]
) -> dict[str, Any]:
    """A number between all sites, and between neighbors with both nulls."""
    over = {**attrs, "pooling": f"over {len(permuted)} permutations of the samples"}
    return {
        name: (("site", "other_site"), matrix, attrs),
        f"neighbor_{name}": ("step", np.diag(matrix, 1).copy(), attrs),
        f"neighbor_{name}_permuted": ("step", permuted.mean(axis=0), over),
        f"neighbor_{name}_permuted_sd": ("step", permuted.std(axis=0, ddof=1), over),
        f"neighbor_{name}_walk": ("step", walk, {**attrs, "null": "independent steps, one draw"}),
    }


@measure(
    "similarity.between_sites",
    title="Similarity of sites: CKA and Procrustes distance",
    source="arXiv 1905.00414, 2010.15327, 2110.14739; JMLR 13, 1393 (2012)",
)
def between_sites(
    recording: Recording,
    *,
    n_components: int = 100,
    n_null: int = 20,
    n_samples: int = 512,
    seed: int = 0,
) -> xr.Dataset:
    """CKA and Procrustes distance between all sites, and between neighbors beside two nulls.

    Args:
        recording: the states.
        n_components: leading principal components of each site, by itself, on which the Procrustes
            distance is computed; of smaller recordings all, and then it is exact.
        n_null: permutations of the samples.
        n_samples: at most so many samples, a choice by `seed`.
        seed: of the choice, the permutations and the walk.

    Returns:
        `cka`, `procrustes` `(site, other_site)`, dimensionless; `variance_held` `(site)`, the share
        of the site's variance about its own mean in the components; for both, over `(step)`,
        `neighbor_<name>` of a site with the next, `neighbor_<name>_permuted` and its `_sd` over
        the permutations (denominator n_null - 1), and `neighbor_<name>_walk`, one draw of the
        independent steps, treated alike. NaN, with one `UndefinedWarning`, for a site whose states
        do not vary, and for CKA of fewer than four samples.

    Raises:
        InputError: the recording has one site only, or a parameter leaves nothing to compute.

    >>> steps = np.random.default_rng(0).standard_normal((400, 3, 50))
    >>> result = between_sites(Recording.from_array(steps.cumsum(axis=1)))
    >>> result["neighbor_cka"].values.round(1)  # 1/2 and 2/3
    array([0.5, 0.7])
    """
    require_draws(n_components, n_null, n_samples)
    chosen = recording.sampled(n_samples, seed=seed)
    require_sites(chosen.values, 2)
    rng = np.random.default_rng(seed)
    sets = state_sets(chosen.values, n_components)
    alike = cka_of_all(sets.grams, sets.grams)
    apart = procrustes_of_all(sets.scores, sets.scores)
    permuted = permuted_pairs(sets.chosen(slice(0, -1)), sets.chosen(slice(1, None)), n_null, rng)
    walk = neighbors(independent_steps(chosen.values, rng), n_components)
    warn_undefined({"cka": alike, "procrustes": apart}, UNDEFINED, stacklevel=3)
    variables = {
        **_variables("cka", alike, permuted[0], walk[0], CKA),
        **_variables("procrustes", apart, permuted[1], walk[1], PROCRUSTES),
        "variance_held": ("site", sets.held, HELD),
    }
    other = {"other_site": ("other_site", np.array(recording.sites, dtype=object))}
    return xr.Dataset(
        variables,
        coords={**recording.site_coords, **recording.step_coords, **other},
        attrs={"n_samples": chosen.shape[0], "n_components": sets.scores.shape[2]},
    )
