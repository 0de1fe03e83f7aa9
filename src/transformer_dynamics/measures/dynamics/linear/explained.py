"""Explained variance of linear maps on held-out texts, with intervals over texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dynamics.linear.common_maps import MODELS
from transformer_dynamics.measures.dynamics.linear.folds import BASELINES, PREDICTORS
from transformer_dynamics.measures.dynamics.linear.held_out import HeldOut
from transformer_dynamics.measures.dynamics.linear.rolling import N_PATHS, RANKS, squares
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.by_site import SiteStates
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import percentile_interval, weight_blocks

N_BOOTSTRAP = 499
ERROR = {"units": "stream units^2", "pooling": "sum over units, mean over held-out texts"}
OF_PATH = {"units": "1", "denominator": "sum over held-out texts of |x - mean path|^2"}
OF_MEAN = {"units": "1", "denominator": "variance of held-out texts about the training mean"}
AGAINST = {"units": "1", "denominator": "the baseline's squared error on the held-out texts"}
REDUCED = {"units": "1", "denominator": "squared error of the mean step within the components"}
PENALTY = {"units": "1", "denominator": "samples times the mean variance of the inputs"}


def held_out_dataset(
    recording: Recording, states: SiteStates, errors: HeldOut, starts: Sequence[int], *, seed: int
) -> xr.Dataset:
    """Turn held-out errors into explained shares.

    Args:
        recording: labels of the states.
        states: the states.
        errors: held-out errors.
        starts: indices of the sites that were rolled forward from.
        seed: seed of the bootstrap.
    """
    floors = _floors(states)
    kept = ratio(errors.kept[..., 0], errors.kept[..., 1])
    variables: dict[str, Any] = {
        **_step_variables(recording, errors, floors[:-1] / recording.shape[0], seed),
        "state_kept": ("step", kept[0], OF_MEAN),
        "update_kept": ("step", kept[1], OF_MEAN),
        **_rolled_variables(errors, starts, floors),
        "penalty": (("fold", "step"), errors.penalty, PENALTY),
    }
    return xr.Dataset(
        variables,
        coords={
            **recording.site_coords,
            **recording.step_coords,
            "predictor": np.array(PREDICTORS, dtype=object),
            "baseline": np.array(BASELINES, dtype=object),
            "model": np.array(MODELS, dtype=object),
            "start": np.array([recording.sites[start] for start in starts], dtype=object),
            "rank": np.array(RANKS),
        },
    )


def _step_variables(
    recording: Recording, errors: HeldOut, floor: Floats, seed: int
) -> dict[str, Any]:
    """Errors of single steps and their explained shares."""
    mean = errors.step.mean(axis=-1)
    blocks = weight_blocks(recording.groups, N_BOOTSTRAP, seed=seed)
    flat = errors.step.reshape(-1, errors.step.shape[-1])
    drawn = np.concatenate([weights @ flat.T for _, weights in blocks]).reshape(-1, *mean.shape)
    low, high = percentile_interval(_explained(drawn[:, -1:], drawn[:, :-1], floor))
    by_baseline = ("baseline", "step")
    return {
        "squared_error": (("predictor", "step"), mean, ERROR),
        "r2": (by_baseline, _explained(mean[-1], mean[:-1], floor), AGAINST),
        "r2_low": (by_baseline, low, AGAINST),
        "r2_high": (by_baseline, high, AGAINST),
        "reduced_error": (
            ("model", "step"),
            1 - _explained(errors.reduced[1:], errors.reduced[:1], floor),
            REDUCED,
        ),
    }


def _rolled_variables(errors: HeldOut, starts: Sequence[int], floors: Floats) -> dict[str, Any]:
    """Explained shares of the texts rolled forward."""
    explained = _explained(errors.rolled[:, 1:], errors.rolled[:, :1], floors)
    after_start = [
        curves[N_PATHS - 1 :, start + 1 :] for curves, start in zip(explained, starts, strict=True)
    ]
    return {
        "stay_explained": (("start", "site"), explained[:, 0], OF_PATH),
        "parallel_explained": (("start", "site"), explained[:, 1], OF_PATH),
        "rolled_explained": (("start", "rank", "site"), explained[:, N_PATHS - 1 :], OF_PATH),
        "rolled_mean": (
            ("start", "rank"),
            np.stack([curves.mean(axis=-1) for curves in after_start]),
            {**OF_PATH, "pooling": "mean over the sites after the start"},
        ),
    }


def _explained(error: Floats, baseline: Floats, floor: Floats) -> Floats:
    """1 - error / baseline; NaN where the baseline is rounding error."""
    return 1 - ratio(error, np.where(baseline > floor, baseline, 0.0))


def _floors(states: SiteStates) -> Floats:
    """Sum over samples of the squared length below which a difference is rounding, `(site)`."""
    totals = [float(squares(each.astype(np.float64)).sum()) for each in states]
    return np.array(totals) * float(4 * np.finfo(states.dtype).eps) ** 2
