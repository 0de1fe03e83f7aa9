"""Explained variance of autoencoder, PCA of equal rank and site mean on held-out texts.

    explained variance    1 - sum |x - f(x)|^2 / sum |x - c|^2

with f(x) the reconstruction and c the mean of all training states, or the mean of the training
states of the site of x. Intervals are 95 % percentile intervals over the scored texts.

Source: ours. Cost: one pass of each autoencoder and of PCA over the scored states, 4096 states at a
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.dimension.autoencoder_network import BLOCK_ROWS, Autoencoder
from transformer_dynamics.measures.dimension.autoencoder_streaming import StreamedStates
from transformer_dynamics.measures.dimension.components.shares import ROUNDING
from transformer_dynamics.measures.dimension.reconstruction.splits import StateSplit
from transformer_dynamics.numerics.arrays import (
    PIECE_ROWS,
    Floats,
    ratio,
    row_pieces,
    site_pieces,
)
from transformer_dynamics.numerics.principal_axes import (
    PrincipalAxes,
    leading_axes,
    summed_products,
)
from transformer_dynamics.stats.bootstrap import percentile_interval, uniform_weights, weight_blocks

N_BOOTSTRAP = 499


def _squared_deviations(values: NDArray[Any], means: Floats) -> Floats:
    """Squared deviations from means `(site, unit)`, `(sample, site)`, in stream units squared."""
    squares = np.empty(values.shape[:2])
    for site, rows, states in site_pieces(values):
        states -= means[site]
        squares[rows, site] = np.einsum("nu,nu->n", states, states)
    return squares


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
    errors[2] = _squared_deviations(split.scored, split.site_means)
    if not trained:
        return errors
    axes = _axes(split, max(autoencoder.bottleneck for autoencoder in trained))
    rows = split.scored.reshape(-1, split.scored.shape[-1])
    of_rows = errors.reshape(3, len(autoencoders), -1)
    for index, autoencoder in enumerate(autoencoders):
        if autoencoder is None:
            continue
        components = axes.components[: autoencoder.bottleneck]
        for block in row_pieces(len(rows), BLOCK_ROWS):
            reconstructed = autoencoder.reconstruct(rows[block])
            for piece in row_pieces(len(reconstructed)):
                states, place = rows[block][piece].astype(np.float64), _shifted(piece, block.start)
                of_rows[0, index, place] = _squares(states - reconstructed[piece])
                states -= axes.mean
                states -= (states @ components.T) @ components
                of_rows[1, index, place] = _squares(states)
    return errors


def _squares(rows: Floats) -> Floats:
    squares: Floats = np.einsum("nu,nu->n", rows, rows)
    return squares


def _shifted(piece: slice, by: int) -> slice:
    return slice(piece.start + by, piece.stop + by)


def _axes(split: StateSplit, most: int) -> PrincipalAxes:
    """Leading principal components of the training states, at most `most` of them."""
    if isinstance(split.states, StreamedStates):
        return split.states.axes(most)
    rows, mean = split.states.training, split.states.mean
    products = np.zeros((mean.size, mean.size))
    for piece in row_pieces(len(rows), max(mean.size, PIECE_ROWS)):
        products += summed_products(rows[piece, np.newaxis], mean)
    return leading_axes(products / len(rows), mean, min(most, len(rows)))


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
    wholes = np.stack([_squared_deviations(split.scored, everywhere), errors[2, 0]])
    wholes[wholes <= ROUNDING * wholes[0].mean()] = 0
    plain = _explained(errors, wholes, uniform_weights(len(errors[0, 0])))
    blocks = weight_blocks(text_index, N_BOOTSTRAP, seed=seed)
    draws = [_explained(errors, wholes, weights) for _, weights in blocks]
    drawn = tuple(np.concatenate(parts) for parts in zip(*draws, strict=True))
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
