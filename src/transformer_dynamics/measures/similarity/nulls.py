"""Null models of similarity: permuted samples, and a walk of independent steps.

Permuted samples destroy the pairing of two sets, and debiased CKA is then about 0. The walk takes
the steps of the recording, each with its samples permuted: a step keeps its distribution and loses
its relation to the state that it is added to and to other steps. Neighboring states of the walk
share all but one step, as those of the recording do.

Source: ours. Cost: per draw and pair of sets one pass over two Gram matrices and one nuclear norm;
for the walk one reduction per site.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.measures.similarity.cka_procrustes import (
    above_rounding,
    cka_of_pairs,
    procrustes_of_pairs,
)
from transformer_dynamics.measures.similarity.state_sets import StateSets, one_set
from transformer_dynamics.numerics.arrays import Floats, site_states
from transformer_dynamics.numerics.parallel import thread_pool

# Sites of the walk that are in memory together.
SITES_HELD = 8


def permuted_pairs(
    first: StateSets, second: StateSets, n_draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """CKA and Procrustes distance of pairs of sets whose samples are no longer paired.

    Args:
        first: sets of states.
        second: as many sets of the same samples.
        n_draws: number of permutations.
        rng: generator of the permutations.

    Returns:
        Two arrays `(draw, pair)`; in a draw, all pairs share one permutation of the second's
        samples.
    """
    n_pairs, n_samples, _ = first.grams.shape
    orders = [rng.permutation(n_samples) for _ in range(n_draws)]
    cka, distance = np.empty((n_draws, n_pairs)), np.empty((n_draws, n_pairs))

    def fill(pair: int) -> None:
        gram, other = first.grams[pair], second.grams[pair]
        squares = np.array([np.vdot(matrix, matrix) for matrix in (gram, other)])
        norms = np.sqrt(above_rounding(squares))
        for draw, order in enumerate(orders):
            # Unnamed, so that a thread holds one permuted matrix and not two.
            product = np.vdot(gram, other[np.ix_(order, order)])
            cka[draw, pair] = product / norms[0] / norms[1]
            scores = second.scores[pair][order][np.newaxis]
            distance[draw, pair] = procrustes_of_pairs(first.scores[[pair]], scores)[0]

    with thread_pool() as pool:
        list(pool.map(fill, range(n_pairs)))
    return cka, distance


def independent_steps(values: NDArray[Any], rng: np.random.Generator) -> Iterator[Floats]:
    """Yield the states of a walk of the recording's steps, each with its samples permuted.

    Args:
        values: states `(sample, site, unit)`.
        rng: generator of the permutations.

    Yields:
        States of one site after the other, `(sample, unit)`.
    """
    states = site_states(values)
    before = next(states)
    walk = before.copy()
    yield walk.copy()
    for after in states:
        with np.errstate(invalid="ignore"):
            walk += (after - before)[rng.permutation(len(walk))]
        before = after
        yield walk.copy()


def neighbors(states: Iterable[Floats], n_components: int) -> tuple[Floats, Floats]:
    """CKA and Procrustes distance `(step)` of the states of each site with those of the next.

    Args:
        states: states of one site after the other, `(sample, unit)`.
        n_components: number of leading components of each site for the Procrustes distance.
    """
    remaining = iter(states)
    with thread_pool() as pool:
        sets = (
            reduced
            for block in iter(lambda: list(islice(remaining, SITES_HELD)), [])
            for reduced in pool.map(
                lambda site: one_set(site, min(n_components, *site.shape)), block
            )
        )
        both = [
            (
                cka_of_pairs(before[0][np.newaxis], after[0][np.newaxis])[0],
                procrustes_of_pairs(before[1][np.newaxis], after[1][np.newaxis])[0],
            )
            for before, after in pairwise(sets)
        ]
    cka, distance = np.array(both).T
    return cka, distance
