"""Linear depth dynamics: how far each update is a linear function of the state it is added to.

The update d[n, s] = x[n, s+1] - x[n, s] is predicted from x[n, s] by a map that is fitted on some
texts and scored on others (folds of whole texts; every text is held out once):

    zero          0
    mean step     mean of d[s] over the training texts
    scaled        mean step + b[s] (x - m[s]),  one number b[s] per step, m the mean path
    map           scaled + W[s]' z,  ridge, z the leading components of x - m[s] at that site
    R^2 against a baseline = 1 - sum |d - map|^2 / sum |d - baseline|^2, over texts and units

**Skill over the mean step is not yet structure.** Independent states have b = -1 and an R^2 of one
half over the mean step (two states of equal variance), since the old state is a part of the update:
regression to the mean. What a map knows beyond one number is its skill over `scaled`, which is 0
for independent states and for a random walk. The map is shrunk towards `scaled`, not towards 0: all
units persist alike until texts say otherwise. What the components leave out of the states is
reported; it reaches the map through b alone.

One map for all depths: z[s+1] = A z[s] + c in components common to all sites, least squares over
all training pairs (exact DMD), and with every step weighted alike, since the late, long steps
decide otherwise; and one map of the deviations from the mean path, which need not follow from it.
Their errors are put beside that of maps per step in the same components, over that of the mean
step. Eigenvalues of A: modulus per step, angle in radians per step.

Low-order model: maps whose updates are cut to the K directions that hold most of the predicted ones
(reduced-rank regression), rolled forward from one site without looking again; explained at a later
site is 1 - sum |x - rolled|^2 / sum |x - m|^2, so 0 is the mean path. K = 0 would be to stay as far
from the mean path.

Source: ridge; DMD (Tu et al., arXiv 1312.0041); baselines and scoring on updates: ours. Cost: see
`depth_maps`; for common components N S D^2 per fold. Not handled: nonlinear maps, memory of earlier
sites, intervals that refit the maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import threadpoolctl
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.held_out_maps import (
    BASELINES,
    MODELS,
    N_PATHS,
    PREDICTORS,
    RANKS,
    HeldOut,
    common_basis,
    held_out_errors,
    in_basis,
    one_maps,
    squares,
)
from transformer_dynamics.numerics.arrays import (
    Floats,
    ratio,
    require_sites,
    site_states,
    warn_undefined,
)
from transformer_dynamics.numerics.splits import text_folds
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights

N_BOOTSTRAP = 499
SQUARED = "stream units^2"
# Samples that fit into memory with room to spare, and more than the numbers below need.
N_SAMPLES = 4096


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
    """Linear maps of states to updates, scored on texts that they were not fitted on.

    Args:
        recording: the states.
        n_components: of the maps' inputs, at most the units and half the training samples.
        n_folds: folds of whole texts; each is held out once. Fewer where there are fewer texts.
        starts: sites to roll forward from; by default the first and those at 1/4, 1/2 and 3/4.
        n_samples: at most so many samples, a choice by `seed`: pairs of sites need them in memory.
        seed: of the choice, of the folds and of the bootstrap.

    Returns:
        On held-out texts: `squared_error` `(predictor, step)`; `r2`, `r2_low`, `r2_high`
        `(baseline, step)`, 95 % over texts with the maps held fixed; within the components
        `reduced_error` `(model, step)` over that of the mean step; `state_kept` and `update_kept`
        `(step)`, shares of the variance about the training mean that lie within the components;
        `rolled_explained` `(start, rank, site)`, `stay_explained`, `parallel_explained`
        `(start, site)`, NaN up to the start, and `rolled_mean` `(start, rank)` over the sites
        behind it. `penalty` `(fold, step)`. Fitted on all texts: `eigenvalue_modulus` (1 per step)
        and `eigenvalue_angle` (rad per step) `(fit, eigenvalue)`, by falling modulus. NaN, with one
        `UndefinedWarning`, where a baseline leaves no error, or where there are fewer than three
        texts.

    Raises:
        InputError: fewer than two sites, an unknown start, or numbers that are too small.
    """
    recording = recording.sampled(n_samples, seed=seed)
    require_sites(recording.values, 2)
    places = _starts(recording.sites, starts)
    folds = text_folds(recording.groups, n_folds, seed=seed)
    smallest = recording.shape[0] - int(np.bincount(folds).max())
    if n_components < 1:
        raise InputError(f"got n_components={n_components}; give one at least: n_components=50")
    most = max(1, min(n_components, recording.shape[2], smallest // 2))
    # Thousands of small matrices: threads of the linear algebra would wait for each other.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        errors = held_out_errors(recording, folds, places, most=most, seed=seed)
    result = _dataset(recording, errors, places, seed)
    undefined = {name: result[name].values for name in ("r2", "reduced_error")}
    warn_undefined(undefined, "a baseline leaves no error, or texts are fewer than 3", stacklevel=3)
    modulus, angle = _eigenvalues(recording, most)
    fits = np.array(MODELS[1:], dtype=object)
    return result.assign(
        eigenvalue_modulus=(("fit", "eigenvalue"), modulus, {"units": "1 per step"}),
        eigenvalue_angle=(("fit", "eigenvalue"), angle, {"units": "rad per step"}),
    ).assign_coords(fit=fits, component=np.arange(1, most + 1))


def _starts(sites: Sequence[str], starts: Sequence[str] | None) -> list[int]:
    n_steps = len(sites) - 1
    if starts is None:
        return sorted({n_steps * quarter // 4 for quarter in range(4)})
    unknown = [label for label in starts if label not in sites[:-1]]
    if unknown:
        raise InputError(
            f"got starts={list(starts)}; they are sites of the recording but the last: "
            f"linear(recording, starts=[{sites[0]!r}])"
        )
    return [sites.index(label) for label in starts]


def _eigenvalues(recording: Recording, most: int) -> tuple[Floats, Floats]:
    """Modulus and angle of the eigenvalues of the maps for all depths, `(fit, eigenvalue)`."""
    center, basis = common_basis(recording.values, most)
    scores = in_basis(recording.values, center, basis)
    maps = one_maps(scores[:, :-1], scores[:, 1:])
    found = np.stack([np.linalg.eigvals(fitted.matrix.T) for fitted in maps])
    order = np.lexsort((-found.imag, -np.abs(found)))
    ordered = np.take_along_axis(found, order, axis=1)
    return np.abs(ordered), np.angle(ordered)


def _dataset(recording: Recording, errors: HeldOut, places: Sequence[int], seed: int) -> xr.Dataset:
    """The variables on held-out texts."""
    floors = _floors(recording)
    weights = text_weights(recording.groups, N_BOOTSTRAP, seed=seed)
    floor = floors[:-1] / recording.shape[0]
    whole = errors.step.mean(axis=-1)
    drawn = np.einsum("pkn,bn->bpk", errors.step, weights, optimize=True)
    r2 = _explained(whole[-1], whole[:-1], floor)
    low, high = percentile_interval(_explained(drawn[:, -1:], drawn[:, :-1], floor))
    reduced = errors.reduced.mean(axis=-1)
    explained = _explained(errors.rolled[:, 1:], errors.rolled[:, :1], floors)
    kept = ratio(errors.kept[..., 0], errors.kept[..., 1])
    ahead = [
        curves[N_PATHS - 1 :, place + 1 :] for curves, place in zip(explained, places, strict=True)
    ]
    of_path = {"units": "1", "denominator": "sum over held-out texts of |x - mean path|^2"}
    of_mean = {"units": "1", "denominator": "variance of held-out texts about the training mean"}
    against = {"units": "1", "denominator": "the baseline's squared error on the held-out texts"}
    variables: dict[str, Any] = {
        "squared_error": (
            ("predictor", "step"),
            whole,
            {"units": SQUARED, "pooling": "sum over units, mean over held-out texts"},
        ),
        "r2": (("baseline", "step"), r2, against),
        "r2_low": (("baseline", "step"), low, against),
        "r2_high": (("baseline", "step"), high, against),
        "reduced_error": (
            ("model", "step"),
            1 - _explained(reduced[1:], reduced[:1], floor),
            {"units": "1", "denominator": "squared error of the mean step within the components"},
        ),
        "state_kept": ("step", kept[0], of_mean),
        "update_kept": ("step", kept[1], of_mean),
        "stay_explained": (("start", "site"), explained[:, 0], of_path),
        "parallel_explained": (("start", "site"), explained[:, 1], of_path),
        "rolled_explained": (("start", "rank", "site"), explained[:, N_PATHS - 1 :], of_path),
        "rolled_mean": (
            ("start", "rank"),
            np.stack([curves.mean(axis=-1) for curves in ahead]),
            {**of_path, "pooling": "mean over the sites behind the start"},
        ),
        "penalty": (
            ("fold", "step"),
            errors.penalty,
            {"units": "1", "denominator": "samples times the mean variance of the inputs"},
        ),
    }
    return xr.Dataset(
        variables,
        coords={
            **recording.site_coords,
            **recording.step_coords,
            "predictor": np.array(PREDICTORS, dtype=object),
            "baseline": np.array(BASELINES, dtype=object),
            "model": np.array(MODELS, dtype=object),
            "start": np.array([recording.sites[place] for place in places], dtype=object),
            "rank": np.array(RANKS),
        },
    )


def _explained(error: Floats, baseline: Floats, floor: Floats) -> Floats:
    """1 - error / baseline, NaN where the baseline is rounding."""
    return 1 - ratio(error, np.where(baseline > floor, baseline, 0.0))


def _floors(recording: Recording) -> Floats:
    """Sum over samples of the squared length below which a difference is rounding, `(site)`."""
    precision = np.finfo(recording.values.dtype).eps
    totals = [float(squares(states).sum()) for states in site_states(recording.values)]
    return np.array(totals) * float(4 * precision) ** 2
