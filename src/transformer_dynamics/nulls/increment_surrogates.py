"""Surrogates with the recording's own increments, under random signs or in another order.

With increments d[s] = x[s+1] - x[s] and l(s) the layer of the site at which step s starts:

    single steps    x'[s+1] = x'[s] + sigma[s] d[s]       x'[s+1] = x'[s] + d[pi(s)]
    whole layers    x'[s+1] = x'[s] + sigma[l(s)] d[s]    pi exchanges layers

The attention and the MLP update of a layer are related (in a unit they often have opposite signs).
Nulls of single steps destroy this relation; nulls of whole layers keep it. With one site per layer
both are equal in distribution. Source: ours. Cost: one pass over the states. Not handled: samples
of one text count as exchangeable; states that are not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.model.labels import parse
from transformer_dynamics.nulls.increments import accumulate, increments, random_signs
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null(
    "sign_flipped_increments",
    keeps="first site; size of every increment of every unit, in each sample and in their mean",
    destroys="signs of the increments over depth, and their agreement between units",
)
def sign_flipped_increments(recording: Recording, *, seed: int = 0) -> Recording:
    """Increments with random signs, one sign per step and unit and the same for all samples.

    Since the samples share the signs, the trace averaged over samples keeps the sizes of its
    increments as well.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.
    """
    steps = np.arange(recording.shape[1] - 1)
    return _sign_flipped(recording, steps, name="sign_flipped_increments", seed=seed)


@null(
    "sign_flipped_layers",
    keeps=(
        "first site; size of every increment of every unit; sign relation of a layer's attention "
        "and MLP update"
    ),
    destroys="signs of the increments between layers, and their agreement between units",
)
def sign_flipped_layers(recording: Recording, *, seed: int = 0) -> Recording:
    """Increments with random signs, one sign per layer and unit and the same for all samples.

    All steps that start at a site of one layer share its signs: `7.pre_attn` to `7.pre_mlp` and
    `7.pre_mlp` to `8.pre_attn`. With one site per layer this is the sign flip of single steps.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.

    >>> sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp"]
    >>> states = np.array([[[0.0], [2.0], [1.0], [3.0]]])
    >>> drawn = sign_flipped_layers(Recording.from_array(states, sites=sites), seed=1)
    >>> (np.diff(drawn.values[0, :, 0]) / np.diff(states[0, :, 0])).tolist()
    [1.0, 1.0, -1.0]
    """
    layers = _step_layers(recording)
    return _sign_flipped(recording, layers, name="sign_flipped_layers", seed=seed)


@null("permuted_increments", keeps="first and last site; the steps", destroys="their order")
def permuted_increments(recording: Recording, *, seed: int = 0) -> Recording:
    """Increments in another order, one permutation of the steps for the whole recording.

    The sum of the increments stays, and with it the last site, up to rounding.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.
    """
    order = np.random.default_rng(seed).permutation(recording.shape[1] - 1)
    return _reordered(recording, order, name="permuted_increments", seed=seed)


@null(
    "permuted_layers",
    keeps="first and last site; the steps, those of a layer together and in their order",
    destroys="the order of the layers",
)
def permuted_layers(recording: Recording, *, seed: int = 0) -> Recording:
    """Layers in another order, one permutation for the whole recording.

    The steps of a layer stay together and in their order. Layers are exchanged only with layers
    whose steps start at sites of the same kinds, so every step keeps its kind. A layer without a
    counterpart keeps its position: without the final site the last layer has its attention step
    alone and stays last. The sum of the increments stays, and with it the last site, up to
    rounding. With one site per layer this is the permutation of single steps.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.

    >>> sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"]
    >>> states = np.array([[[0.0], [1.0], [3.0], [7.0], [15.0]]])
    >>> drawn = permuted_layers(Recording.from_array(states, sites=sites), seed=3)
    >>> np.diff(drawn.values[0, :, 0]).tolist()
    [4.0, 8.0, 1.0, 2.0]
    """
    order = _layer_order(recording, np.random.default_rng(seed))
    return _reordered(recording, order, name="permuted_layers", seed=seed)


def _sign_flipped(recording: Recording, groups: ArrayLike, *, name: str, seed: int) -> Recording:
    """Increments times a sign that the steps of one group `(step)` share, one per unit."""
    values = recording.values
    labels, group_of_step = np.unique(groups, return_inverse=True)
    shape = (len(labels), values.shape[2])
    signs = random_signs(np.random.default_rng(seed), shape, values.dtype)
    flipped = accumulate(values, lambda step: increments(values, step) * signs[group_of_step[step]])
    return recording.with_values(flipped, null=name, seed=seed)


def _reordered(
    recording: Recording, order: Sequence[int] | NDArray[np.int64], *, name: str, seed: int
) -> Recording:
    """Increments in the given order of steps."""
    values = recording.values
    permuted = accumulate(values, lambda step: increments(values, order[step]))
    return recording.with_values(permuted, null=name, seed=seed)


def _step_layers(recording: Recording) -> NDArray[np.int64]:
    """Layer in which each step starts, `(step)`."""
    return np.array([parse(site)[0] for site in recording.sites[:-1]], dtype=np.int64)


def _layer_order(recording: Recording, rng: np.random.Generator) -> list[int]:
    """Order of the steps that exchanges layers with the same kinds of sites."""
    kinds = [parse(site)[1] for site in recording.sites]
    layers = _step_layers(recording)
    blocks = [list(block) for _, block in groupby(range(len(layers)), key=layers.__getitem__)]
    exchangeable: dict[tuple[str, ...], list[int]] = {}
    for index, block in enumerate(blocks):
        exchangeable.setdefault(tuple(kinds[step] for step in block), []).append(index)
    permuted = list(blocks)
    for indices in exchangeable.values():
        for index, source in zip(indices, rng.permutation(indices), strict=True):
            permuted[index] = blocks[source]
    return [step for block in permuted for step in block]
