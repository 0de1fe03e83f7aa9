"""Effects of massive units: results as recorded and with massive units standardized.

The profile of a result is its mean over samples per site, step or turn. Its relative change is

    mean over the profile of (standardized - as recorded) / |as recorded|,

so every depth has the same weight, whatever the length of the states there. Intervals come from
drawing texts with replacement, the same draws for both versions, with the factors of the
standardization held fixed: variation of the massive units themselves is not handled. Tortuosity,
explained variance and participation ratio are not means over samples; see
docs/measures/massive.activations.md. Source: ours. Cost: the measures of both versions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.massive.participation import participation_ratios
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.stats.bootstrap import text_weights, uniform_weights

N_COMPONENTS = 3
# The components of a draw are searched within this number of leading components of all texts.
SUBSPACE = 20
KINEMATICS = {"norm": "site", "speed": "step", "cosine": "step"}
GEOMETRY = {"turning_angle": "turn", "tortuosity": ""}
# Measures of paths, the variables taken from each, and the number of sites it needs.
PATH_MEASURES = (("paths.kinematics", KINEMATICS, 2), ("paths.path_geometry", GEOMETRY, 3))
# Names of the effects, in their order.
QUANTITIES = (*KINEMATICS, *GEOMETRY, "explained_variance", "participation_ratio")


@dataclass(frozen=True)
class Effect:
    """One result, as recorded and with massive units standardized.

    Attributes:
        name: name of the result.
        along: dimension of its profile; empty for a single value.
        profiles: `(version, point)`: as recorded, standardized.
        changes: relative change, `(draw)`; the first is the change for all texts.
    """

    name: str
    along: str
    profiles: Floats
    changes: Floats


class _Draws:
    """Means over samples in bootstrap draws of texts; the first draw is the original sample."""

    def __init__(self, text_index: NDArray[np.int64], n_draws: int, seed: int) -> None:
        texts, text_of_sample = np.unique(text_index, return_inverse=True)
        samples = np.arange(text_of_sample.size)
        self._sums = sparse.csr_array((np.ones(samples.size), (text_of_sample, samples)))
        drawn = text_weights(np.arange(texts.size), n_draws, seed=seed)
        self._weights = np.concatenate([uniform_weights(texts.size), drawn])

    def mean(self, values: Floats) -> Floats:
        """Average defined values over samples, `(sample, point)` to `(draw, point)`."""
        defined = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            total = self._weights @ (self._sums @ np.where(defined, values, 0.0))
        return ratio(total, self._weights @ (self._sums @ defined.astype(np.float64)))


def effects(
    versions: Sequence[Recording], samples: NDArray[np.int64], *, n_draws: int, seed: int
) -> list[Effect]:
    """Compute the relative change of every result.

    Args:
        versions: recording, and the same recording with massive units standardized.
        samples: indices of the samples for the participation ratio, `(sample,)`.
        n_draws: number of draws of texts for the intervals.
        seed: seed of the draws.

    Returns:
        `norm`, `speed`, `cosine`, `turning_angle`, `tortuosity`, `explained_variance` and
        `participation_ratio`; NaN, without a warning, where one is undefined.
    """
    draws = _Draws(versions[0].groups, n_draws, seed)
    with warnings.catch_warnings():
        # The caller warns once of all undefined values.
        warnings.simplefilter("ignore", UndefinedWarning)
        result = list(_path_effects(versions, draws))
        explained = np.stack([_explained(version, draws) for version in versions])
    total = explained.sum(axis=2, keepdims=True)
    result.append(
        Effect("explained_variance", "component", explained[:, 0], _relative_change(total))
    )
    weights = text_weights(versions[0].groups[samples], n_draws, seed=seed)
    weights = np.concatenate([uniform_weights(samples.size), weights])
    ratios = np.stack(
        [_participation(version.isel(sample=samples), weights) for version in versions]
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
                undefined = np.full((2, n_points), np.nan)
                yield Effect(name, along, undefined, np.array([np.nan]))
                continue
            values = [result[name].values for result in results]
            means = np.stack([draws.mean(each.reshape(len(each), -1)) for each in values])
            yield Effect(name, along, means[:, 0], _relative_change(means))


def _relative_change(means: Floats) -> Floats:
    """Average the relative change over defined points, `(version, draw, point)` to `(draw)`."""
    recorded, standardized = means
    changes = ratio(standardized - recorded, np.abs(recorded))
    defined = ~np.isnan(changes)
    return ratio(np.where(defined, changes, 0.0).sum(axis=1), defined.sum(axis=1).astype(float))


def _participation(recording: Recording, weights: Floats) -> Floats:
    """Compute the participation ratio of every site in every draw, `(draw, site)`."""
    by_site = [participation_ratios(states, weights) for states in site_states(recording.values)]
    return np.stack(by_site, axis=1)


def _explained(recording: Recording, draws: _Draws) -> Floats:
    """Compute the shares of pooled variance of the leading components, `(draw, component)`.

    In a draw these are the leading eigenvalues of the weighted covariance within the `SUBSPACE`
    leading components of all texts.
    """
    n_samples, n_sites, n_units = recording.shape
    n_kept = min(SUBSPACE, n_units, n_samples * n_sites)
    result = MEASURES.get("dimension.pca").function(recording, n_components=n_kept)
    scores = result["score"].values.astype(np.float64)
    squares, shifts = np.zeros((n_samples, 1)), np.zeros((n_samples, n_units))
    mean = result["mean"].values
    for rows, values in recording.blocks():
        for states in site_states(values):
            states -= mean
            squares[rows, 0] += np.einsum("nu,nu->n", states, states) / n_sites
            shifts[rows] += states / n_sites
    products = np.einsum("nsk,nsl->nkl", scores, scores, optimize=True) / n_sites
    shift = draws.mean(shifts)
    inside = shift @ result["loading"].values.T
    covariance = draws.mean(products.reshape(n_samples, -1)).reshape(-1, n_kept, n_kept)
    covariance -= inside[:, :, np.newaxis] * inside[:, np.newaxis, :]
    total = draws.mean(squares) - np.einsum("bu,bu->b", shift, shift)[:, np.newaxis]
    leading = np.linalg.eigvalsh(covariance)[:, ::-1][:, :N_COMPONENTS]
    return ratio(np.maximum(leading, 0.0), np.maximum(total, 0.0))
