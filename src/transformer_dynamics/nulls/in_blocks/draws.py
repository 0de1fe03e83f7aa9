"""Nulls of a recording on disk, computed block by block when they are read.

    permutations of units, sites or steps, random signs, random basis
                     the same for all samples, so the null of a block is that of its samples
    random walk      the covariances of the steps are summed once, in passes over the recording;
                     the random numbers of a sample depend on the seed and its index alone

The draws do not depend on the size of the blocks. A random walk has other random numbers than in
memory, where they are drawn step by step. Memory: one block, and for the walk one matrix
`(unit, unit)` for each step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.increment_surrogates import (
    permuted_increments,
    permuted_layers,
    sign_flipped_increments,
    sign_flipped_layers,
)
from transformer_dynamics.nulls.increments import States, within_range, working_dtype
from transformer_dynamics.nulls.random_walk import MatchedWalk, matched_walk, random_walk
from transformer_dynamics.nulls.state_surrogates import permuted_depth, permuted_units, random_basis
from transformer_dynamics.recording import Recording

Draws = Callable[[int], Recording]
Change = Callable[[States], States]


def draws_by_blocks(null: Callable[..., Recording], source: Recording) -> Draws:
    """Draws of a null from a recording on disk: `seed -> recording`, itself read in blocks.

    Raises:
        InputError: the null needs all samples at once.
    """
    if null not in BY_BLOCKS:
        raise InputError(
            f"{null.__name__} takes all samples at once, and this recording of "
            f"{source.activation.nbytes / 2**30:.3g} GiB is read in blocks; take fewer samples: "
            "recording.isel(sample=slice(0, 1000)).load()"
        )
    return BY_BLOCKS[null](source)


def goes_by_blocks(null: Callable[..., Recording]) -> bool:
    """Whether a null is drawn from a recording on disk block by block."""
    return null in BY_BLOCKS


def _draws_of_each(null: Callable[..., Recording], source: Recording) -> Draws:
    """Draws of a null whose random numbers all samples share: the null of each block."""

    def change(seed: int) -> Change:
        return lambda states: (
            null(Recording.from_array(states, sites=source.sites), seed=seed).values
        )

    return partial(_changed, source, null.__name__, change)


def _basis_draws(source: Recording) -> Draws:
    dtype = working_dtype(source.activation.dtype)

    def change(seed: int) -> Change:
        # One basis for all blocks, which takes much longer to draw than to apply.
        basis = stats.ortho_group.rvs(source.shape[2], random_state=np.random.default_rng(seed))
        basis = basis.astype(dtype)
        return lambda states: states.astype(dtype, copy=False) @ basis

    return partial(_changed, source, random_basis.__name__, change)


def _changed(source: Recording, name: str, change: Callable[[int], Change], seed: int) -> Recording:
    """The recording with a change of each block."""
    changed, dtype = change(seed), source.activation.dtype

    def block(states: States) -> States:
        with within_range(dtype):
            return changed(states).astype(dtype)

    # Dask would call the function on an empty array to learn the type of the result.
    lazy = source.activation.data.map_blocks(block, dtype=dtype, meta=np.empty((0, 0, 0), dtype))
    return source.with_values(lazy, null=name, seed=seed)


def _walk_draws(source: Recording) -> Draws:
    walk = matched_walk(source, np.zeros((0, source.shape[2])))
    return partial(_walked, source, walk)


def _walked(source: Recording, walk: MatchedWalk, seed: int) -> Recording:
    """Random walk of each sample, from its state at the first site."""
    import dask.array

    states, dtype = source.activation.data, source.activation.dtype
    spreads = walk.spreads.astype(np.float64)
    common = spreads * np.random.default_rng(seed).standard_normal(spreads.shape)
    indices = dask.array.arange(len(states), chunks=(states.chunks[0],))[:, None, None]

    def block(states: States, samples: Any) -> States:
        walked = np.empty(states.shape, dtype)
        walked[:, 0] = states[:, 0]
        running = states[:, 0].astype(np.float64)
        rngs = [np.random.default_rng((seed, int(index))) for index in samples.ravel()]
        with within_range(dtype):
            for step, factor in enumerate(walk.factors):
                numbers = [rng.standard_normal(len(factor), dtype=factor.dtype) for rng in rngs]
                running += np.stack(numbers) @ factor + common[step]
                walked[:, step + 1] = running
        return walked

    lazy = dask.array.map_blocks(
        block, states, indices, dtype=dtype, chunks=states.chunks, meta=np.empty((0, 0, 0), dtype)
    )
    return source.with_values(lazy, null="random_walk", seed=seed)


BY_BLOCKS: dict[Callable[..., Recording], Callable[[Recording], Draws]] = {
    random_walk: _walk_draws,
    random_basis: _basis_draws,
    **{
        null: partial(_draws_of_each, null)
        for null in (
            *(permuted_units, permuted_depth, permuted_increments, permuted_layers),
            *(sign_flipped_increments, sign_flipped_layers),
        )
    },
}
