"""Effects of massive units: results as recorded and with massive units standardized.

The profile of a result is its mean over samples per site, step or turn. Its relative change is

    mean over the profile of (standardized - as recorded) / |as recorded|,

so every depth has the same weight, whatever the length of the states there. Intervals come from
drawing texts with replacement, the same draws for both versions, with the factors of the
standardization held fixed: variation of the massive units themselves is not handled. Tortuosity,
explained variance and participation ratio are not means over samples; see
docs/measures/massive.activations.md. Source: ours. Cost: the measures of both versions, in pieces
of samples.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.massive.draws import Draws
from transformer_dynamics.measures.massive.participation import participation_ratios
from transformer_dynamics.numerics.arrays import Floats, ratio, row_pieces, site_states
from transformer_dynamics.numerics.blocks import axes_of
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
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
    draws = Draws(versions[0].groups, n_draws, seed)
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


def _path_effects(versions: Sequence[Recording], draws: Draws) -> Iterator[Effect]:
    n_sites = versions[0].shape[1]
    sizes = {"site": n_sites, "step": n_sites - 1, "turn": max(0, n_sites - 2), "": 1}
    means = np.empty((len(versions), 0, 0))
    if n_sites >= min(at_least for _, _, at_least in PATH_MEASURES):
        means = np.stack([draws.means(_path_values(version)) for version in versions])
    start = 0
    for _, names, at_least in PATH_MEASURES:
        for name, along in names.items():
            if n_sites < at_least:
                undefined = np.full((len(versions), sizes[along]), np.nan)
                yield Effect(name, along, undefined, np.array([np.nan]))
                continue
            own = means[..., start : start + sizes[along]]
            start += sizes[along]
            yield Effect(name, along, own[:, 0], _relative_change(own))


def _path_values(recording: Recording) -> Iterator[tuple[slice, Floats]]:
    """Results of the path measures of each sample, side by side, `(sample, point)`, in pieces."""
    start = 0
    for block in recording.sample_blocks():
        for rows in row_pieces(block.shape[0]):
            piece, values = block.isel(sample=rows), []
            for measure, names, at_least in PATH_MEASURES:
                if block.shape[1] >= at_least:
                    # Unwrapped: the stamp of a result would hash every piece.
                    result = inspect.unwrap(MEASURES.get(measure).function)(piece)
                    values += [result[name].values.reshape(piece.shape[0], -1) for name in names]
            yield slice(start + rows.start, start + rows.stop), np.concatenate(values, axis=1)
        start += block.shape[0]
        del block, piece


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


def _explained(recording: Recording, draws: Draws) -> Floats:
    """Compute the shares of pooled variance of the leading components, `(draw, component)`.

    In a draw these are the leading eigenvalues of the weighted covariance within the `SUBSPACE`
    leading components of all texts.
    """
    n_samples, n_sites, n_units = recording.shape
    n_kept = min(SUBSPACE, n_units, n_samples * n_sites)
    axes = axes_of(recording, n_kept)
    means = draws.means(_products(recording, axes))
    products, shift, squares = np.split(means, [n_kept**2, n_kept**2 + n_units], axis=1)
    inside = shift @ axes.components.T
    covariance = products.reshape(-1, n_kept, n_kept)
    covariance = covariance - inside[:, :, np.newaxis] * inside[:, np.newaxis, :]
    total = squares - np.einsum("bu,bu->b", shift, shift)[:, np.newaxis]
    leading = np.linalg.eigvalsh(covariance)[:, ::-1][:, :N_COMPONENTS]
    return ratio(np.maximum(leading, 0.0), np.maximum(total, 0.0))


def _products(recording: Recording, axes: PrincipalAxes) -> Iterator[tuple[slice, Floats]]:
    """Means over sites of products of scores, deviations and squared deviations, side by side.

    They come in pieces of samples, `(sample, component^2 + unit + 1)`.
    """
    n_kept = len(axes.components)
    for block, values in recording.blocks():
        for rows in row_pieces(len(values)):
            piece = values[rows]
            scores = np.empty((*piece.shape[:2], n_kept))
            shifts, squares = np.zeros((len(piece), axes.mean.size)), np.zeros((len(piece), 1))
            for site, states in enumerate(site_states(piece)):
                states -= axes.mean
                scores[:, site] = states @ axes.components.T
                squares[:, 0] += np.einsum("nu,nu->n", states, states)
                shifts += states
            products = (scores.transpose(0, 2, 1) @ scores).reshape(len(piece), -1)
            table = np.concatenate([products, shifts, squares], axis=1)
            yield slice(block.start + rows.start, block.start + rows.stop), table / piece.shape[1]
        del values
