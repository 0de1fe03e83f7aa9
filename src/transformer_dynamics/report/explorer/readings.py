"""Parts of results that the view Explore shows: components, latents, steps, decoded tokens.

A result is used only if it belongs to the recording of the page: it has as many samples, steps or
units. A part whose result is not there is None, and the page says which measure it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.report.explorer.choice import chosen_samples

PCA, AUTOENCODER, LENS = "dimension.pca", "dimension.autoencoder", "perturbation.logit_lens"
# Result by step and unit: its measure and variable.
BY_STEP = {
    "correlation": ("units.correlation", "correlation"),
    "information": ("units.mutual_information", "information"),
}
MODEL = "model"


def result_of(results: Mapping[str, xr.Dataset], measure: str) -> xr.Dataset | None:
    """First result of a measure, or None."""
    for result in results.values():
        if result.attrs.get("measure") == measure:
            return result
    return None


def component_scores(
    result: xr.Dataset | None, recording: Recording, samples: NDArray[np.int64]
) -> dict[str, Any] | None:
    """Scores of samples, `(sample, site, component)`, and the shares of the pooled variance."""
    if result is None or "score" not in result:
        return None
    if result["score"].shape[:2] != recording.shape[:2]:
        return None
    scores = result["score"].values[samples, :, :3]
    shares = result["explained_variance_ratio"].values[: scores.shape[2]]
    return {"score": scores, "share": [_number(share) for share in shares]}


def latent_scores(
    result: xr.Dataset | None, recording: Recording, samples: NDArray[np.int64]
) -> dict[str, Any] | None:
    """Latents of the scored ones among the samples, `(sample, site, axis)`, and their rows."""
    if result is None or "latent_path" not in result:
        return None
    paths = result["latent_path"].values
    if paths.shape[1] != recording.shape[1] or paths.shape[2] < 2:
        return None
    _, rows, places = np.intersect1d(result["scored"].values, samples, return_indices=True)
    if not rows.size or not np.isfinite(paths[rows]).any():
        return None
    row_of = np.full(samples.size, -1)
    row_of[places] = np.arange(rows.size)
    return {"latent": paths[rows, :, :2], "row": row_of.tolist()}


def by_step(results: Mapping[str, xr.Dataset], recording: Recording) -> dict[str, NDArray[Any]]:
    """Correlation and mutual information of every unit, `(unit, step)`, as far as there are any."""
    _, n_sites, n_units = recording.shape
    found = {}
    for name, (measure, variable) in BY_STEP.items():
        result = result_of(results, measure)
        if result is not None and result[variable].shape == (n_sites - 1, n_units):
            found[name] = result[variable].transpose("unit", "step").values
    return found


def decoded_tokens(
    lens: xr.Dataset | None, recording: Recording, samples: NDArray[np.int64]
) -> dict[str, Any] | None:
    """Tokens that the logit lens decodes for the last token of samples.

    Returns:
        `token` `(text, site, rank)`, indices into `strings`; `probability` of the same shape; `kl`
        `(text, site)` in nats; `row`: of each sample, or -1 where it was not decoded.
    """
    if lens is None or lens.sizes["site"] != recording.shape[1]:
        return None
    model = lens.sel(system=MODEL)
    rows = {text: row for row, text in enumerate(model["text"].values.tolist())}
    is_last = _is_last(recording, samples)
    row_of = [
        rows.get(text, -1) if last else -1
        for text, last in zip(recording.text_index[samples].tolist(), is_last, strict=True)
    ]
    kept = sorted({row for row in row_of if row >= 0})
    if not kept:
        return None
    place = {row: index for index, row in enumerate(kept)}
    strings = model["token"].values[kept].astype(object)
    distinct, tokens = np.unique(strings, return_inverse=True)
    return {
        "strings": distinct.tolist(),
        "token": tokens.reshape(strings.shape),
        "probability": model["probability"].values[kept],
        "kl": model["kl"].values[kept],
        "row": [place.get(row, -1) for row in row_of],
    }


def shown_samples(
    recording: Recording, lens: xr.Dataset | None, rows: NDArray[np.int64], *, seed: int
) -> NDArray[np.int64]:
    """Choose the samples to show, first those that the logit lens and the twin hold as well.

    Args:
        recording: recording of the page.
        lens: result of the logit lens, or None.
        rows: row of each sample in the twin, -1 where it has none.
        seed: seed of the draw.
    """
    preferred = [_lens_samples(lens, recording), np.flatnonzero(rows >= 0)]
    return chosen_samples(recording.shape[0], preferred, seed=seed)


def _lens_samples(lens: xr.Dataset | None, recording: Recording) -> NDArray[np.int64]:
    """Samples whose text the logit lens decodes."""
    if lens is None:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.isin(recording.text_index, lens["text"].values))


def _is_last(recording: Recording, samples: NDArray[np.int64]) -> list[bool]:
    """Whether each sample is the last token of its text."""
    rows = recording.dataset
    if "position" not in rows or "n_tokens" not in rows:
        return [True] * samples.size
    lengths = rows["n_tokens"].values[recording.text_index[samples]]
    return list((rows["position"].values[samples] == lengths - 1).tolist())


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
