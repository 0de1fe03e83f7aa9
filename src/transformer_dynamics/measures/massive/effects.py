"""Results on the population with massive units and without them.

A result is measured on the recording and again with the massive units standardized. Its profile is
the mean over samples per site, step or turn; its relative change is

    mean over the profile of (standardized - as recorded) / |as recorded|,

so every depth counts the same however long the states are there. The interval comes from drawing
texts with replacement, the same draws for both, with the factors of the standardization as they
are. Three results are not means over samples, and are drawn so:

    tortuosity            the mean over samples of each path's own
    explained variance    shares of the pooled variance of the first three components, the change
                          that of their sum; in a draw, of the eigenvalues of the weighted
                          covariance within the 20 leading components of all texts
    participation ratio   (tr C)^2 / tr C^2 of the weighted covariance of a site, from products of
                          samples; a text drawn twice would count as its own double and take
                          directions away, so the share of pairs of a sample with itself is kept
                          at 1 / samples, what it is without drawing

Source: ours.

Cost: both results of each measure, and for the participation ratio 4 B N^2 operations per site and
version, B draws of N samples, at most 512 of them.

Not handled: that another draw of texts may have other massive units or factors.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.stats.bootstrap import text_weights, uniform_weights

N_COMPONENTS = 3
# The components of a draw lie within so many leading ones of all texts.
SUBSPACE = 20
KINEMATICS = {"norm": "site", "speed": "step", "cosine": "step"}
GEOMETRY = {"turning_angle": "turn", "tortuosity": ""}
# Measures of paths, the variables taken from each, and how many sites it needs.
PATH_MEASURES = (("paths.kinematics", KINEMATICS, 2), ("paths.path_geometry", GEOMETRY, 3))
# Of every effect, in their order.
QUANTITIES = (*KINEMATICS, *GEOMETRY, "explained_variance", "participation_ratio")


@dataclass(frozen=True)
class Effect:
    """One result, as recorded and with massive units standardized.

    Attributes:
        name: of the result.
        along: the dimension of its profile, or nothing.
        profiles: `(version, point)`: as recorded, standardized.
        changes: its relative change, `(draw)`; the first is that of all texts as they are.
    """

    name: str
    along: str
    profiles: Floats
    changes: Floats


class _Draws:
    """Means over samples in bootstrap draws of texts, the first draw being the texts themselves."""

    def __init__(self, text_index: NDArray[np.int64], n_draws: int, seed: int) -> None:
        texts, place = np.unique(text_index, return_inverse=True)
        samples = np.arange(place.size)
        self._sums = sparse.csr_array((np.ones(place.size), (place, samples)))
        drawn = text_weights(np.arange(texts.size), n_draws, seed=seed)
        self._weights = np.concatenate([uniform_weights(texts.size), drawn])

    def mean(self, values: Floats) -> Floats:
        """`(sample, point)` to `(draw, point)`; what is not defined is left out."""
        defined = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            total = self._weights @ (self._sums @ np.where(defined, values, 0.0))
        return ratio(total, self._weights @ (self._sums @ defined.astype(np.float64)))


def effects(
    versions: Sequence[Recording], samples: NDArray[np.int64], *, n_draws: int, seed: int
) -> list[Effect]:
    """The relative change of every result.

    Args:
        versions: the recording, and the same with massive units standardized.
        samples: those that the participation ratio is taken of, `(sample,)`.
        n_draws: of texts, for the intervals.
        seed: of the draws.

    Returns:
        `norm`, `speed`, `cosine`, `turning_angle`, `tortuosity`, `explained_variance` and
        `participation_ratio`; NaN, without a warning, where one is undefined.
    """
    draws = _Draws(versions[0].groups, n_draws, seed)
    with warnings.catch_warnings():
        # The caller says once what is undefined.
        warnings.simplefilter("ignore", UndefinedWarning)
        result = list(_path_effects(versions, draws))
        explained = np.stack([_explained(version, draws) for version in versions])
    total = explained.sum(axis=2, keepdims=True)
    result.append(
        Effect("explained_variance", "component", explained[:, 0], _relative_change(total))
    )
    chosen = [version.isel(sample=samples) for version in versions]
    weights = text_weights(chosen[0].groups, n_draws, seed=seed)
    weights = np.concatenate([uniform_weights(samples.size), weights])
    ratios = np.stack(
        [
            np.stack(
                [participation_ratios(states, weights) for states in site_states(version.values)],
                axis=1,
            )
            for version in chosen
        ]
    )
    result.append(Effect("participation_ratio", "site", ratios[:, 0], _relative_change(ratios)))
    return result


def _path_effects(versions: Sequence[Recording], draws: _Draws) -> Iterator[Effect]:
    n_sites = versions[0].shape[1]
    for measure, names, at_least in PATH_MEASURES:
        function = MEASURES.get(measure).function
        results = [function(version) for version in versions] if n_sites >= at_least else []
        for name, along in names.items():
            if not results:
                n_points = {"site": n_sites, "step": n_sites - 1, "turn": 0}.get(along, 1)
                nothing = np.full((2, n_points), np.nan)
                yield Effect(name, along, nothing, np.array([np.nan]))
                continue
            values = [result[name].values for result in results]
            means = np.stack([draws.mean(each.reshape(len(each), -1)) for each in values])
            yield Effect(name, along, means[:, 0], _relative_change(means))


def _relative_change(means: Floats) -> Floats:
    """From `(version, draw, point)` to `(draw)`; points where it is undefined are left out."""
    recorded, other = means
    changes = ratio(other - recorded, np.abs(recorded))
    defined = ~np.isnan(changes)
    return ratio(np.where(defined, changes, 0.0).sum(axis=1), defined.sum(axis=1).astype(float))


def _explained(recording: Recording, draws: _Draws) -> Floats:
    """Shares of pooled variance of the leading components, `(draw, component)`."""
    n_samples, n_sites, n_units = recording.shape
    n_kept = min(SUBSPACE, n_units, n_samples * n_sites)
    result = MEASURES.get("dimension.pca").function(recording, n_components=n_kept)
    scores = result["score"].values.astype(np.float64)
    squares, away = np.zeros((n_samples, 1)), np.zeros((n_samples, n_units))
    mean = result["mean"].values
    for rows, values in recording.blocks():
        for states in site_states(values):
            states -= mean
            squares[rows, 0] += np.einsum("nu,nu->n", states, states) / n_sites
            away[rows] += states / n_sites
    products = np.einsum("nsk,nsl->nkl", scores, scores, optimize=True) / n_sites
    shift = draws.mean(away)
    inside = shift @ result["loading"].values.T
    covariance = draws.mean(products.reshape(n_samples, -1)).reshape(-1, n_kept, n_kept)
    covariance -= inside[:, :, np.newaxis] * inside[:, np.newaxis, :]
    total = draws.mean(squares) - np.einsum("bu,bu->b", shift, shift)[:, np.newaxis]
    leading = np.linalg.eigvalsh(covariance)[:, ::-1][:, :N_COMPONENTS]
    return ratio(np.maximum(leading, 0.0), np.maximum(total, 0.0))


def participation_ratios(states: Floats, weights: Floats) -> Floats:
    """Participation ratio of one site in draws of its samples.

    Args:
        states: `(sample, unit)`.
        weights: of the samples, `(draw, sample)`; rows sum to 1.

    Returns:
        `(draw)`, without unit; NaN where the drawn samples do not vary.

    >>> points = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> participation_ratios(points, np.full((1, 4), 0.25))
    array([2.])
    """
    deviations = states - states.mean(axis=0)
    products = deviations @ deviations.T
    own, squared = np.diag(products).copy(), products**2
    along = weights @ products
    shift = np.einsum("bn,bn->b", along, weights)
    trace = weights @ own - shift
    pairs = np.einsum("bn,bn->b", weights @ squared, weights)
    repeats = (weights**2).sum(axis=1)
    others = pairs - weights**2 @ own**2
    share = 1 / len(states)
    pairs = others * ratio(np.full_like(repeats, 1 - share), 1 - repeats) + share * (
        weights @ own**2
    )
    squares = pairs - 2 * np.einsum("bn,bn->b", along**2, weights) + shift**2
    # What rounding leaves of a cloud that does not vary is no variance.
    nothing = trace <= 1e-12 * own.mean()
    return ratio(trace**2, np.where(nothing, 0.0, squares))
