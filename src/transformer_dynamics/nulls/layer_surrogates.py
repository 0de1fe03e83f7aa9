"""Surrogates that treat the two sublayers of a layer as one: signs and order between layers.

With steps d[s] = x[s+1] - x[s] and l(s) the layer of the site at which step s starts:

    signs     x'[s+1] = x'[s] + sigma[l(s)] d[s]     sigma = +-1 for each layer and unit
    order     x'[s+1] = x'[s] + d[pi(s)]             pi moves whole layers

In a transformer the attention update and the MLP update of a layer are related: in a unit they
often have opposite signs. Nulls that treat steps one by one destroy this relation as well, so a
statistic that depends on it lies beyond them. The two nulls here keep it.

In a recording with one site per layer (`0.state`, `1.state`, ..., or layers that add attention and
MLP in parallel) a layer is one step, and the nulls equal those of single steps in distribution.

Source: ours. Cost: one pass over the states. Not handled: as in `surrogates`.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.model.labels import parse
from transformer_dynamics.nulls.increments import accumulate, increments, working_dtype
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null(
    "sign_flipped_layers",
    keeps=(
        "first site; size of every increment of every unit; sign relation of a layer's attention "
        "and MLP update"
    ),
    destroys="signs of the increments between layers, and their agreement between units",
)
def sign_flipped_layers(recording: Recording, *, seed: int = 0) -> Recording:
    """Every increment with a random sign, one per layer and unit and the same for all samples.

    All steps that start at a site of one layer share its signs: `7.pre_attn` to `7.pre_mlp` and
    `7.pre_mlp` to `8.pre_attn`. With one site per layer this is the sign flip of single steps.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.

    >>> sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp"]
    >>> states = np.array([[[0.0], [2.0], [1.0], [3.0]]])
    >>> drawn = sign_flipped_layers(Recording.from_array(states, sites=sites), seed=1)
    >>> (np.diff(drawn.values[0, :, 0]) / np.diff(states[0, :, 0])).tolist()
    [1.0, 1.0, -1.0]
    """
    values = recording.values
    layers, of_step = np.unique(_step_layers(recording), return_inverse=True)
    flips = np.random.default_rng(seed).integers(0, 2, size=(len(layers), values.shape[2]))
    signs = (1 - 2 * flips).astype(working_dtype(values.dtype))
    flipped = accumulate(values, lambda step: increments(values, step) * signs[of_step[step]])
    return recording.with_values(flipped, null="sign_flipped_layers", seed=seed)


@null(
    "permuted_layers",
    keeps="first and last site; the steps, those of a layer together and in their order",
    destroys="the order of the layers",
)
def permuted_layers(recording: Recording, *, seed: int = 0) -> Recording:
    """The layers in another order, one permutation for the whole recording.

    The steps of a layer stay together and in their order. Layers change places only with layers
    whose steps start at sites of the same kinds, so every step keeps its kind. A layer without a
    counterpart stays in its place: without the final site the last layer has its attention step
    alone and stays last. The sum of the steps stays, and with it the last site, up to rounding.
    With one site per layer this is the permutation of single steps.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.

    >>> sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"]
    >>> states = np.array([[[0.0], [1.0], [3.0], [7.0], [15.0]]])
    >>> drawn = permuted_layers(Recording.from_array(states, sites=sites), seed=3)
    >>> np.diff(drawn.values[0, :, 0]).tolist()
    [4.0, 8.0, 1.0, 2.0]
    """
    values = recording.values
    order = _layer_order(recording, np.random.default_rng(seed))
    permuted = accumulate(values, lambda step: increments(values, order[step]))
    return recording.with_values(permuted, null="permuted_layers", seed=seed)


def _step_layers(recording: Recording) -> NDArray[np.int64]:
    """The layer in which each step starts, `(step,)`."""
    return np.array([parse(site)[0] for site in recording.sites[:-1]], dtype=np.int64)


def _layer_order(recording: Recording, rng: np.random.Generator) -> list[int]:
    """The steps in an order that exchanges layers of the same kinds of sites."""
    kinds = [parse(site)[1] for site in recording.sites]
    layers = _step_layers(recording)
    blocks = [list(block) for _, block in groupby(range(len(layers)), key=layers.__getitem__)]
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, block in enumerate(blocks):
        alike.setdefault(tuple(kinds[step] for step in block), []).append(place)
    moved = list(blocks)
    for places in alike.values():
        for place, source in zip(places, rng.permutation(places), strict=True):
            moved[place] = blocks[source]
    return [step for block in moved for step in block]
