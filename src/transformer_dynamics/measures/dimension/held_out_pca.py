"""Variance of held-out texts explained by principal components.

Components are fitted on half of the texts and scored on the other half: with the K leading
components P and a center c of the fitted half, sum |P (x - c)|^2 / sum |x - c|^2 over the scored
samples. Three readings: pooled components about the global mean, pooled components about the mean
of the site, and components of the site alone; each as recorded and with massive units standardized.

Source: arXiv 2502.12131 (fitted and scored on the same states); held-out scoring, readings and
standardization ours. Cost: N S D^2 for the pooled covariance, N S D min(N, D) for the sites; twice
with massive units. Memory: one site of all samples. Limits: late sites weigh more; one seeded
split; finite states only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.components.readings import (
    ReadingSquares,
    reading_squares,
)
from transformer_dynamics.numerics.arrays import Floats, ratio, warn_undefined
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.bootstrap import percentile_interval, uniform_weights, weight_blocks

N_COMPONENTS = (1, 2, 3, 5, 10, 20, 50, 100)
N_BOOTSTRAP = 499
READINGS = ("about global mean", "about site mean", "own components")
MASSIVE = ("as recorded", "massive units standardized")
RATIO = "sum |P (x - c)|^2 / sum |x - c|^2 over scored samples"
DEFINITIONS = (
    (f"{RATIO}, P: pooled components", "about the mean of all sites of the fitted half"),
    (f"{RATIO}, P: pooled components", "about the mean of the site in the fitted half"),
    (f"{RATIO}, P: components of the site", "about the mean of the site in the fitted half"),
)


@measure(
    "dimension.held_out_pca",
    title="Variance explained on held-out texts",
    source="arXiv 2502.12131 (PCA); held-out scoring ours",
)
def held_out_pca(
    recording: Recording, *, n_components: Sequence[int] = N_COMPONENTS, seed: int = 0
) -> xr.Dataset:
    """Variance of one half of the texts explained by components fitted on the other half.

    Args:
        recording: states `(sample, site, unit)` of at least two texts.
        n_components: numbers of components, each at least 1.
        seed: seed of the split and of the bootstrap over the scored texts.

    Returns:
        `explained_about_global_mean`, `explained_about_site_mean`, `explained_own_components`
        `(massive, site, n_components)`: explained variance, as recorded and with massive units
        standardized. `overall` `(massive, reading, n_components)`: the same with both sums taken
        over all sites, where late sites weigh more; `overall_low`, `overall_high`: 95 % interval
        over the scored texts. NaN, with one `UndefinedWarning`, where there are fewer components
        (units; fitted samples - 1 for a site alone) or nothing varies. `attrs`: `massive_unit`,
        `n_fitted`, `n_scored`, `n_units`.

    Raises:
        InputError: fewer than two texts, a number of components below 1, or states that are not
            finite.

    >>> plane = np.random.default_rng(0).standard_normal((20, 3, 2)) @ np.eye(2, 6)
    >>> result = held_out_pca(Recording.from_array(plane), n_components=[1, 2])
    >>> result["overall"].sel(massive="as recorded", n_components=2).values.round(6)
    array([1., 1., 1.])
    """
    counts = _checked_counts(n_components)
    fitted, scored = split_texts(recording.groups, seed=seed)
    squares = reading_squares(recording, fitted, scored, counts)
    sites, over_all = _site_shares(squares), _over_all(squares, uniform_weights(len(scored)))
    blocks = weight_blocks(recording.groups[scored], N_BOOTSTRAP, seed=seed)
    draws = np.concatenate([_over_all(squares, weights) for _, weights in blocks])
    low, high = percentile_interval(draws)
    variables = _site_variables(sites, len(scored)) | _overall_variables(
        (over_all[0], low, high), len(scored)
    )
    warn_undefined(
        {name: values for name, (_, values, _) in variables.items() if "explained" in name},
        "there are fewer components than asked for, or the states do not vary",
        stacklevel=3,
    )
    return xr.Dataset(
        variables,
        coords={
            **recording.site_coords,
            "massive": np.array(MASSIVE, dtype=object),
            "reading": np.array(READINGS, dtype=object),
            "n_components": counts,
        },
        attrs={
            "massive_unit": squares.massive.tolist(),
            "n_fitted": len(fitted),
            "n_scored": len(scored),
            "n_units": recording.shape[2],
        },
    )


def _checked_counts(n_components: Sequence[int]) -> list[int]:
    counts = [int(count) for count in n_components]
    if not counts or min(counts) < 1:
        raise InputError(
            f"got n_components={list(n_components)}; numbers of components are at least 1: "
            "held_out_pca(recording, n_components=(1, 2, 10))"
        )
    return counts


def _pooling(n_scored: int) -> dict[str, str]:
    return {"units": "1", "pooling": f"{n_scored} samples of texts not fitted on"}


def _site_variables(shares: Floats, n_scored: int) -> dict[str, Any]:
    """Variables of the explained variance at each site, from `(massive, reading, site, count)`."""
    dims = ("massive", "site", "n_components")
    return {
        f"explained_{reading.replace(' ', '_')}": (
            dims,
            shares[:, index],
            {**_pooling(n_scored), "definition": definition, "denominator": denominator},
        )
        for index, (reading, (definition, denominator)) in enumerate(
            zip(READINGS, DEFINITIONS, strict=True)
        )
    }


def _overall_variables(
    value_low_high: tuple[Floats, Floats, Floats], n_scored: int
) -> dict[str, Any]:
    """Variables of the explained variance over all sites, each `(massive, reading, count)`."""
    dims = ("massive", "reading", "n_components")
    attrs = {**_pooling(n_scored), "denominator": "as of each reading, summed over sites"}
    interval = {**attrs, "definition": "95 % percentile interval over the scored texts"}
    value, low, high = value_low_high
    return {
        "overall": (dims, value, attrs),
        "overall_low": (dims, low, interval),
        "overall_high": (dims, high, interval),
    }


def _site_shares(squares: ReadingSquares) -> Floats:
    """Explained variance at each site, `(massive, reading, site, count)`."""
    full = squares.whole.sum(axis=2)
    return _both(np.minimum(ratio(squares.of_sites, full[..., np.newaxis]), 1.0), 0)


def _over_all(squares: ReadingSquares, weights: Floats) -> Floats:
    """Explained variance over all sites, `(draw, massive, reading, count)`."""
    with np.errstate(invalid="ignore"):
        inside = np.einsum("bn,mrnk->bmrk", weights, squares.of_samples, optimize=True)
        full = np.einsum("bn,mrn->bmr", weights, squares.whole.sum(axis=3), optimize=True)
    return _both(np.minimum(ratio(inside, full[..., np.newaxis]), 1.0), 1)


def _both(shares: Floats, axis: int) -> Floats:
    """Repeat shares as recorded where no unit is massive and they are the standardized ones too."""
    return shares if shares.shape[axis] == len(MASSIVE) else np.repeat(shares, len(MASSIVE), axis)
