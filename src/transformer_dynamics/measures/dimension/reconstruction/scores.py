"""Explained variance of autoencoder, PCA of equal rank and site mean on held-out texts.

    explained variance    1 - sum |x - f(x)|^2 / sum |x - c|^2

with f(x) the reconstruction and c the mean of all training states, or the mean of the training
states of the site of x. Intervals are 95 % percentile intervals over the scored texts.

Source: ours. Cost: one pass of each autoencoder and of PCA over the scored states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.autoencoder_network import Autoencoder
from transformer_dynamics.measures.dimension.autoencoder_streaming import StreamedStates
from transformer_dynamics.measures.dimension.components.shares import ROUNDING
from transformer_dynamics.measures.dimension.reconstruction.splits import StateSplit
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights, uniform_weights

N_BOOTSTRAP = 499


def _squared_errors(values: NDArray[Any], described: NDArray[Any]) -> Floats:
    """Squared errors of a description, `(sample, site)`, in stream units squared."""
    errors = np.empty(values.shape[:2])
    for site in range(values.shape[1]):
        deviations = values[:, site].astype(np.float64) - described[..., site, :]
        errors[:, site] = np.einsum("nu,nu->n", deviations, deviations)
    return errors


def reconstruction_errors(split: StateSplit, autoencoders: Sequence[Autoencoder | None]) -> Floats:
    """Squared errors of autoencoder, PCA of equal rank and site mean on the scored states.

    Args:
        split: training and scored states.
        autoencoders: one per bottleneck; None where none was trained.

    Returns:
        `(description, bottleneck, sample, site)`, in stream units squared; NaN without autoencoder.
    """
    trained = [autoencoder for autoencoder in autoencoders if autoencoder is not None]
    errors = np.full((3, len(autoencoders), *split.scored.shape[:2]), np.nan)
    errors[2] = _squared_errors(split.scored, split.site_means[np.newaxis])
    if not trained:
        return errors
    most = max(autoencoder.bottleneck for autoencoder in trained)
    if isinstance(split.states, StreamedStates):
        axes = split.states.axes(most)
    else:
        rows = split.states.training[:, np.newaxis]
        axes = principal_axes(rows, min(most, len(rows)), center=split.states.mean)
    scores = axes.project(split.scored)
    for index, autoencoder in enumerate(autoencoders):
        if autoencoder is not None:
            errors[0, index] = _squared_errors(split.scored, autoencoder.reconstruct(split.scored))
            kept = slice(autoencoder.bottleneck)
            described = axes.mean + scores[..., kept] @ axes.components[kept]
            errors[1, index] = _squared_errors(split.scored, described)
    return errors


def _explained(errors: Floats, wholes: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Compute 1 - error / deviation at each site and over all sites.

    Args:
        errors: squared errors, `(description, bottleneck, sample, site)`.
        wholes: squared deviations, `(about, sample, site)`.
        weights: weights of the samples, `(draw, sample)`.

    Returns:
        `(draw, description, about, bottleneck, site)` and `(draw, description, about, bottleneck)`.
    """
    error = np.einsum("dn,mbns->dmbs", weights, errors, optimize=True)[:, :, np.newaxis]
    whole = np.einsum("dn,ans->das", weights, wholes, optimize=True)[:, np.newaxis, :, np.newaxis]
    return 1 - ratio(error, whole), 1 - ratio(error.sum(axis=-1), whole.sum(axis=-1))


@dataclass(frozen=True)
class Scores:
    """Explained variance, each with the low and high end of its interval.

    Attributes:
        at_site: `(description, about, bottleneck, site)`.
        over_all: `(description, about, bottleneck)`.
        gain: autoencoder minus PCA, `(about, bottleneck)`.
    """

    at_site: tuple[Floats, Floats, Floats]
    over_all: tuple[Floats, Floats, Floats]
    gain: tuple[Floats, Floats, Floats]


def explained_variance(
    split: StateSplit, errors: Floats, text_index: NDArray[np.int64], seed: int
) -> Scores:
    """Explained variance of all descriptions, with 95 % intervals over the scored texts.

    Args:
        split: training and scored states.
        errors: squared errors, `(description, bottleneck, sample, site)`.
        text_index: text of each scored sample, `(sample)`.
        seed: seed of the bootstrap.
    """
    everywhere = np.broadcast_to(split.states.mean, split.site_means.shape)
    wholes = np.stack([_squared_errors(split.scored, everywhere[np.newaxis]), errors[2, 0]])
    wholes[wholes <= ROUNDING * wholes[0].mean()] = 0
    plain = _explained(errors, wholes, uniform_weights(len(errors[0, 0])))
    drawn = _explained(errors, wholes, text_weights(text_index, N_BOOTSTRAP, seed=seed))
    enough = len(np.unique(text_index)) > 1

    def with_interval(value: Floats, draws: Floats) -> tuple[Floats, Floats, Floats]:
        # The interval of a single text would have no width.
        low, high = percentile_interval(draws if enough else np.full_like(draws, np.nan))
        return value[0], low, high

    return Scores(
        with_interval(plain[0], drawn[0]),
        with_interval(plain[1], drawn[1]),
        with_interval(plain[1][:, 0] - plain[1][:, 1], drawn[1][:, 0] - drawn[1][:, 1]),
    )


def latent_paths(
    split: StateSplit, autoencoders: Sequence[Autoencoder | None], bottlenecks: Sequence[int]
) -> tuple[Floats, NDArray[np.float32]]:
    """Latents of the scored states.

    Returns:
        Means over samples `(bottleneck, site, latent)`, and the latents of the narrowest bottleneck
        `(sample, site, axis)`.
    """
    n_samples, n_sites, _ = split.scored.shape
    means = np.full((len(bottlenecks), n_sites, max(bottlenecks)), np.nan)
    narrowest = int(np.argmin(bottlenecks))
    paths = np.full((n_samples, n_sites, min(bottlenecks)), np.nan, dtype=np.float32)
    for index, autoencoder in enumerate(autoencoders):
        if autoencoder is not None:
            latents = autoencoder.encode(split.scored)
            means[index, :, : autoencoder.bottleneck] = latents.mean(axis=0, dtype=np.float64)
            if index == narrowest:
                paths = latents
    return means, paths
