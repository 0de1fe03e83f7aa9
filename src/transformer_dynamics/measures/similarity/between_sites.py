"""Similarity of the states at two sites: debiased linear CKA and Procrustes distance.

All pairs of sites are compared, and neighboring sites with two null models: permuted samples and a
walk of independent steps (see `nulls`). Neither number changes when a set of states is rotated,
shifted or scaled as a whole.

Sources: arXiv 1905.00414, 2010.15327 (debiased form), 2110.14739; Song et al. (2012, JMLR 13,
1393). The walk: ours. Cost: per site one product of n x n x D and the leading eigenvectors of a
matrix of size min(n, D), twice; 8 n^2 bytes are kept per site, n at most `n_samples`.
Limits: linear kernels; a few units of large variance dominate both numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.similarity.cka_procrustes import cka_of_all, procrustes_of_all
from transformer_dynamics.measures.similarity.nulls import (
    independent_steps,
    neighbors,
    permuted_pairs,
)
from transformer_dynamics.measures.similarity.state_sets import (
    FEWEST_SAMPLES,
    require_draws,
    state_sets,
)
from transformer_dynamics.numerics.arrays import Floats, require_sites, warn_undefined
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


def _variables(
    name: str, matrix: Floats, permuted: Floats, walk: Floats, attrs: dict[str, str]
) -> dict[str, Any]:
    """One similarity between all sites, and between neighbors with both nulls."""
    over_draws = {**attrs, "pooling": f"over {len(permuted)} permutations of the samples"}
    return {
        name: (("site", "other_site"), matrix, attrs),
        f"neighbor_{name}": ("step", np.diag(matrix, 1).copy(), attrs),
        f"neighbor_{name}_permuted": ("step", permuted.mean(axis=0), over_draws),
        f"neighbor_{name}_permuted_sd": ("step", permuted.std(axis=0, ddof=1), over_draws),
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
    """CKA and Procrustes distance between all sites, and between neighbors with two nulls.

    Args:
        recording: states `(sample, site, unit)`.
        n_components: number of leading principal components of each site for the Procrustes
            distance; a smaller recording keeps all of them, and the distance is exact.
        n_null: number of permutations of the samples.
        n_samples: maximum number of samples; more are subsampled.
        seed: seed of the subsample, the permutations and the walk.

    Returns:
        `cka`, `procrustes` `(site, other_site)`, dimensionless; `variance_held` `(site)`, the share
        of the site's variance about its own mean in the components; for both similarities, over
        `(step)`, `neighbor_<name>` of a site with the next, `neighbor_<name>_permuted` and its
        `_sd` over the permutations (denominator n_null - 1), and `neighbor_<name>_walk`, one draw
        of the independent steps, computed alike. NaN, with one `UndefinedWarning`, for a site whose
        states do not vary, and for CKA of fewer than four samples.

    Raises:
        InputError: the recording has one site only, or a parameter leaves nothing to compute.

    >>> steps = np.random.default_rng(0).standard_normal((400, 3, 50))
    >>> result = between_sites(Recording.from_array(steps.cumsum(axis=1)))
    >>> result["neighbor_cka"].values.round(1)  # 1/2 and 2/3
    array([0.5, 0.7])
    """
    require_draws(n_components, n_null, n_samples)
    subsample = recording.sampled(n_samples, seed=seed)
    require_sites(subsample.values, 2)
    rng = np.random.default_rng(seed)
    sets = state_sets(subsample.values, n_components)
    similarity = cka_of_all(sets.grams, sets.grams)
    distance = procrustes_of_all(sets.scores, sets.scores)
    permuted = permuted_pairs(sets.chosen(slice(0, -1)), sets.chosen(slice(1, None)), n_null, rng)
    walk = neighbors(independent_steps(subsample.values, rng), n_components)
    warn_undefined({"cka": similarity, "procrustes": distance}, UNDEFINED, stacklevel=3)
    variables = {
        **_variables("cka", similarity, permuted[0], walk[0], CKA),
        **_variables("procrustes", distance, permuted[1], walk[1], PROCRUSTES),
        "variance_held": ("site", sets.held, HELD),
    }
    other = {"other_site": ("other_site", np.array(recording.sites, dtype=object))}
    return xr.Dataset(
        variables,
        coords={**recording.site_coords, **recording.step_coords, **other},
        attrs={"n_samples": subsample.shape[0], "n_components": sets.scores.shape[2]},
    )
