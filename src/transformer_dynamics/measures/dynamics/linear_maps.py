"""Linear depth dynamics: predictability of each update from the state it is added to.

The update d[n, s] = x[n, s+1] - x[n, s] is predicted from x[n, s] by maps that are fitted on some
texts and scored on others (folds of whole texts; every text is held out once):

    zero, mean step, scaled   0;  d[s];  d[s] + b[s] (x - m[s])    m the mean path
    map                       scaled + W[s]' z                     z the components of x - m[s]
    R^2 = 1 - sum |d - map|^2 / sum |d - baseline|^2               over texts and units

One map for all depths and maps of low rank rolled over depth are scored as well. Source: ridge; DMD
(arXiv 1312.0041); baselines and scoring: ours. Cost: N S D^2 per fold, memory two sites of all
samples. Not handled: nonlinear maps, memory of earlier sites, intervals that refit the maps. See
docs/measures/dynamics.linear_maps.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import threadpoolctl
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.linear.common_maps import (
    MODELS,
    CommonMoment,
    StepPairs,
    one_maps,
    pooled_means,
)
from transformer_dynamics.measures.dynamics.linear.explained import held_out_dataset
from transformer_dynamics.measures.dynamics.linear.held_out import held_out_errors
from transformer_dynamics.measures.dynamics.subsample import N_SAMPLES, subsample
from transformer_dynamics.numerics.arrays import Floats, require_sites, warn_undefined
from transformer_dynamics.numerics.by_site import SiteStates, by_site
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure


@measure(
    "dynamics.linear_maps",
    title="Linear dynamics over depth",
    source="ridge and DMD (arXiv 1312.0041); baselines: ours",
)
def linear_maps(
    recording: Recording,
    *,
    n_components: int = 50,
    n_folds: int = 4,
    starts: Sequence[str] | None = None,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> xr.Dataset:
    """Linear maps of states to updates, scored on held-out texts.

    Args:
        recording: the states.
        n_components: number of components of the maps' inputs, at most the units and half the
            training samples.
        n_folds: number of folds of whole texts, each held out once; fewer with fewer texts.
        starts: sites to roll forward from; by default the first and those at 1/4, 1/2 and 3/4.
        n_samples: largest number of samples; more are subsampled by `seed`, since sites are
            decomposed over all samples.
        seed: seed of the subsample, of the folds and of the bootstrap.

    Returns:
        On held-out texts: `squared_error` `(predictor, step)`; `r2`, `r2_low`, `r2_high`
        `(baseline, step)`, 95 % over texts with the maps held fixed; `reduced_error`
        `(model, step)` within the components over the error of the mean step; `state_kept` and
        `update_kept` `(step)`, shares of the variance about the training mean within the
        components;
        `rolled_explained` `(start, rank, site)`, `stay_explained`, `parallel_explained`
        `(start, site)`, NaN up to the start, and `rolled_mean` `(start, rank)` over the sites
        after it. `penalty` `(fold, step)`. Fitted on all texts: `eigenvalue_modulus` (1 per step)
        and `eigenvalue_angle` (rad per step) `(fit, eigenvalue)`, by descending modulus. NaN, with
        one `UndefinedWarning`, where a baseline leaves no error or with fewer than three texts.

    Raises:
        InputError: fewer than two sites, an unknown start, no component or fewer than two folds.
    """
    recording = subsample(recording, n_samples, seed=seed)
    require_sites(recording.activation.data, 2)
    start_indices = _start_indices(recording.sites, starts)
    folds = text_folds(recording.groups, n_folds, seed=seed)
    smallest = recording.shape[0] - int(np.bincount(folds).max())
    if n_components < 1:
        raise InputError(f"got n_components={n_components}; give at least one: n_components=50")
    n_kept = max(1, min(n_components, recording.shape[2], smallest // 2))
    # Thousands of small matrices: the threads of the linear algebra would wait for each other.
    with threadpoolctl.threadpool_limits(1, user_api="blas"), by_site(recording) as states:
        errors = held_out_errors(
            states, recording.groups, folds, start_indices, n_components=n_kept, seed=seed
        )
        result = held_out_dataset(recording, states, errors, start_indices, seed=seed)
        modulus, angle = _eigenvalues(states, n_kept)
    undefined = {name: result[name].values for name in ("r2", "reduced_error")}
    warn_undefined(undefined, "a baseline leaves no error, or texts are fewer than 3", stacklevel=3)
    fits = np.array(MODELS[1:], dtype=object)
    return result.assign(
        eigenvalue_modulus=(("fit", "eigenvalue"), modulus, {"units": "1 per step"}),
        eigenvalue_angle=(("fit", "eigenvalue"), angle, {"units": "rad per step"}),
    ).assign_coords(fit=fits, component=np.arange(1, n_kept + 1))


def _start_indices(sites: Sequence[str], starts: Sequence[str] | None) -> list[int]:
    """Indices of the sites to start from; by default at 0, 1/4, 1/2 and 3/4 of the steps."""
    n_steps = len(sites) - 1
    if starts is None:
        return sorted({n_steps * quarter // 4 for quarter in range(4)})
    unknown = [label for label in starts if label not in sites[:-1]]
    if unknown:
        raise InputError(
            f"got starts={list(starts)}; each is a site of the recording before the last: "
            f"linear_maps(recording, starts=[{sites[0]!r}])"
        )
    return [sites.index(label) for label in starts]


def _eigenvalues(states: SiteStates, n_components: int) -> tuple[Floats, Floats]:
    """Modulus and angle of the eigenvalues of the maps for all depths, `(fit, eigenvalue)`."""
    moment = CommonMoment(pooled_means(states, np.ones((1, states.shape[0]), dtype=bool))[0])
    for of_site in states:
        moment.add(of_site)
    scores = map(moment.axes(n_components).scores, states)
    maps = one_maps([StepPairs.of(before, after) for before, after in pairwise(scores)])
    eigenvalues = np.stack([np.linalg.eigvals(fitted.matrix.T) for fitted in maps])
    order = np.lexsort((-eigenvalues.imag, -np.abs(eigenvalues)))
    ordered = np.take_along_axis(eigenvalues, order, axis=1)
    return np.abs(ordered), np.angle(ordered)
