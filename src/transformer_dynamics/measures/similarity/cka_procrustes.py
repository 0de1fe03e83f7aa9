"""Sets of states as what their similarity is computed from: centered products and components.

A set is the states of the same samples at one place, X `(sample, unit)`, centered on its mean over
samples and scaled to unit Frobenius norm; neither changes CKA or the Procrustes distance. Kept are

    A       its linear Gram matrix X X^T, U-centered (Szekely and Rizzo 2014): with K the Gram
            matrix whose diagonal is set to zero and n samples, for i other than j
            A_ij = K_ij - sum_l K_il/(n-2) - sum_l K_lj/(n-2) + sum_lm K_lm/((n-1)(n-2)),
            and A_ii = 0, so that sum_ij A_ij B_ij / (n (n-3)) is the unbiased HSIC of Song et al.
    scores  on its leading principal components, scaled to unit norm again

so that the CKA of all pairs of sets is one matrix product, and the Procrustes distance of a pair
the nuclear norm of one small matrix.

Sources: Song et al. (2012, JMLR 13, 1393); Szekely and Rizzo (arXiv 1310.2926); Kornblith et al.
(arXiv 1905.00414); Williams et al. (arXiv 2110.14739).

Cost per set: one product of n x n x D and the leading eigenvectors of a matrix of size min(n, D);
n^2 numbers are kept. Not handled: sets of more than some thousand samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, ratio, site_states, unit_frobenius
from transformer_dynamics.numerics.parallel import thread_pool
from transformer_dynamics.stats.bootstrap import text_weights

FEWEST_SAMPLES = 4
# Of Gram matrices with trace 1: a sum of squares below the square of their rounding is zero.
ROUNDING = 1e-26
# Sets of a stream of states that are in memory together.
AT_ONCE = 8


@dataclass(frozen=True)
class StateSets:
    """Sets of states of the same samples, one per site.

    Attributes:
        grams: U-centered Gram matrices, `(site, sample, sample)`; NaN where the set does not vary,
            is not finite, or has fewer than four samples.
        scores: `(site, sample, component)`, of unit norm; NaN where the set does not vary or is
            not finite.
        held: share of each set's variance that the components hold, `(site)`.
    """

    grams: Floats
    scores: Floats
    held: Floats

    def chosen(self, sites: slice | NDArray[np.int64]) -> StateSets:
        """Some of the sets."""
        return StateSets(self.grams[sites], self.scores[sites], self.held[sites])


def require_draws(n_components: int, n_null: int, n_samples: int) -> None:
    """Refuse parameters with which there is nothing to compute.

    Raises:
        InputError: no component, fewer than two draws of the null, or fewer than four samples.
    """
    if n_components < 1 or n_null < 2 or n_samples < FEWEST_SAMPLES:
        raise InputError(
            f"got n_components={n_components}, n_null={n_null}, n_samples={n_samples}; it takes at "
            f"least 1 component, 2 draws of the null for their deviation, and {FEWEST_SAMPLES} "
            "samples: n_components=100, n_null=20, n_samples=512"
        )


def state_sets(values: NDArray[Any], n_components: int) -> StateSets:
    """The sets of all sites of `(sample, site, unit)`."""
    n_samples, n_sites, n_units = values.shape
    n_components = min(n_components, n_samples, n_units)
    sets = StateSets(
        np.empty((n_sites, n_samples, n_samples)),
        np.empty((n_sites, n_samples, n_components)),
        np.empty(n_sites),
    )

    def fill(site: int) -> None:
        one = one_set(values[:, site], n_components)
        sets.grams[site], sets.scores[site], sets.held[site] = one

    with thread_pool() as pool:
        list(pool.map(fill, range(n_sites)))
    return sets


def one_set(states: NDArray[Any], n_components: int) -> tuple[Floats, Floats, float]:
    """U-centered Gram matrix, scores and share of variance held, of `(sample, unit)`."""
    n_samples, n_units = states.shape
    unit = unit_frobenius(states)
    gram = unit @ unit.T
    if not np.isfinite(gram).all():
        return gram * np.nan, np.full((n_samples, n_components), np.nan), np.nan
    product = gram if n_samples <= n_units else unit.T @ unit
    leading = [len(product) - n_components, len(product) - 1]
    variance, vectors = scipy.linalg.eigh(product, subset_by_index=leading)
    variance = np.maximum(variance, 0.0)
    scores = vectors * np.sqrt(variance) if n_samples <= n_units else unit @ vectors
    return u_centered(gram), scores / np.linalg.norm(scores), float(min(1.0, variance.sum()))


def u_centered(gram: Floats) -> Floats:
    """A Gram matrix `(sample, sample)`, U-centered; NaN for fewer than four samples."""
    n_samples = len(gram)
    if n_samples < FEWEST_SAMPLES:
        return np.full_like(gram, np.nan)
    centered = gram.copy()
    np.fill_diagonal(centered, 0.0)
    row = centered.sum(axis=0) / (n_samples - 2)
    centered -= row
    centered -= row[:, np.newaxis]
    centered += row.sum() / (n_samples - 1)
    np.fill_diagonal(centered, 0.0)
    return centered


def cka_of_pairs(first: Floats, second: Floats) -> Floats:
    """CKA of pairs of matrices, twice `(pair, sample, sample)` to `(pair)`; NaN for a zero one."""
    products = _summed(first, second)
    squares = _above_rounding(_summed(first, first)), _above_rounding(_summed(second, second))
    return ratio(products, np.sqrt(squares[0]) * np.sqrt(squares[1]))


def cka_of_all(first: Floats, second: Floats) -> Floats:
    """CKA of every matrix with every other, `(site, sample, sample)` to `(site, other_site)`."""
    flat, other = first.reshape(len(first), -1), second.reshape(len(second), -1)
    norms = [
        np.sqrt(_above_rounding(np.einsum("si,si->s", each, each, optimize=True)))
        for each in (flat, other)
    ]
    return ratio(flat @ other.T, np.outer(*norms))


def _summed(first: Floats, second: Floats) -> Floats:
    sums: Floats = np.einsum("pij,pij->p", first, second)
    return sums


def _above_rounding(squares: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.where(squares > ROUNDING, squares, np.nan)


def procrustes_of_pairs(first: Floats, second: Floats) -> Floats:
    """Procrustes distance of pairs of scores, twice `(pair, sample, component)` to `(pair)`."""
    crossed = np.matmul(first.transpose(0, 2, 1), second)
    defined = np.isfinite(crossed).all(axis=(1, 2))
    overlap = np.full(len(crossed), np.nan)
    overlap[defined] = np.linalg.svd(crossed[defined], compute_uv=False).sum(axis=1)
    distance: Floats = np.sqrt(np.maximum(2 - 2 * overlap, 0.0))
    return distance


def procrustes_of_all(first: Floats, second: Floats) -> Floats:
    """Procrustes distance of every set of scores with every other, `(site, other_site)`.

    Of sets with themselves, the upper half is computed, and the diagonal is zero by definition.
    """
    itself = first is second
    distance = np.zeros((len(first), len(second)))

    def fill(site: int) -> None:
        start = site if itself else 0
        row = procrustes_of_pairs(first[[site]], second[start:])
        if itself:
            row[0] *= 0.0
            distance[site:, site] = row
        distance[site, start:] = row

    with thread_pool() as pool:
        list(pool.map(fill, range(len(first))))
    return distance


def permuted_pairs(
    first: StateSets, second: StateSets, n_draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """CKA and Procrustes distance of pairs of sets once their samples are no longer paired.

    Returns:
        Two arrays `(draw, pair)`; in a draw, all pairs share one permutation of the second's
        samples.
    """
    n_pairs, n_samples, _ = first.grams.shape
    orders = [rng.permutation(n_samples) for _ in range(n_draws)]
    cka, distance = np.empty((n_draws, n_pairs)), np.empty((n_draws, n_pairs))

    def fill(pair: int) -> None:
        here, there = first.grams[pair], second.grams[pair]
        norms = np.sqrt(_above_rounding(np.array([np.vdot(each, each) for each in (here, there)])))
        for draw, order in enumerate(orders):
            cka[draw, pair] = np.vdot(here, there[order][:, order]) / norms[0] / norms[1]
        permuted = second.scores[pair][np.array(orders)]
        distance[:, pair] = procrustes_of_pairs(first.scores[[pair]], permuted)

    with thread_pool() as pool:
        list(pool.map(fill, range(n_pairs)))
    return cka, distance


def weighted_hsic(first: Floats, second: Floats, weights: Floats) -> Floats:
    """Unbiased HSIC of weighted samples: a sum over distinct i, j, k, l and no sample with itself.

        sum w_i w_j w_k w_l K_ij (L_ij - 2 L_ik + L_kl) / sum w_i w_j w_k w_l

    Args:
        first: Gram matrix with a zero diagonal, `(sample, sample)`, U-centered or not.
        second: the other one.
        weights: `(draw, sample)`, not negative; equal ones give the estimator of Song et al.

    Returns:
        `(draw)`; NaN in a draw with fewer than four samples of weight.
    """
    return _hsic(first * second, (_moved(first, weights), _moved(second, weights)), weights)


def _moved(gram: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """A Gram matrix times the weights and times their squares, `(draw, sample)` each."""
    return weights @ gram, weights**2 @ gram


def _hsic(
    both: Floats, moved: tuple[tuple[Floats, Floats], tuple[Floats, Floats]], weights: Floats
) -> Floats:
    """From the products of two Gram matrices, element by element, and each with the weights.

    Sums over distinct indices are sums over all, less those in which indices coincide.
    """
    (first, first_squared), (second, second_squared) = moved
    w, w2, w3 = weights, weights**2, weights**3
    p1, p2, p3, p4 = ((weights**power).sum(axis=1) for power in (1, 2, 3, 4))
    pairs, rows = w @ both, first * second
    s11, s21, s31 = ((each * pairs).sum(axis=1) for each in (w, w2, w3))
    s22 = (w2 * (w2 @ both)).sum(axis=1)
    r1, r2 = ((each * rows).sum(axis=1) for each in (w, w2))
    r3 = (w * (first_squared * second + first * second_squared)).sum(axis=1)
    two = (p1**2 - p2) * s11 - 4 * p1 * s21 + 2 * s22 + 4 * s31
    three = p1 * (r1 - s21) - (r2 - s22) - (r3 - 2 * s31)
    four = (w * first).sum(axis=1) * (w * second).sum(axis=1) - 4 * r2 + 2 * s22
    quadruples = p1**4 - 6 * p1**2 * p2 + 3 * p2**2 + 8 * p1 * p3 - 6 * p4
    enough = np.count_nonzero(weights, axis=1) >= FEWEST_SAMPLES
    return ratio(two - 2 * three + four, np.where(enough, quadruples, 0.0))


def resampled_cka(
    first: StateSets, second: StateSets, text_index: NDArray[np.int64], n_draws: int, seed: int
) -> Floats:
    """CKA of pairs of sets in bootstrap draws of texts, `(draw, pair)`; NaN for a single text."""
    weights = text_weights(text_index, n_draws, seed=seed)
    draws = np.full((n_draws, len(first.grams)), np.nan)

    def fill(pair: int) -> None:
        here, there = first.grams[pair], second.grams[pair]
        moved = _moved(here, weights), _moved(there, weights)
        norms = _hsic(here**2, (moved[0],) * 2, weights), _hsic(there**2, (moved[1],) * 2, weights)
        defined = [np.sqrt(np.where(each > ROUNDING, each, np.nan)) for each in norms]
        draws[:, pair] = _hsic(here * there, moved, weights) / defined[0] / defined[1]

    if np.unique(text_index).size > 1:
        with thread_pool() as pool:
            list(pool.map(fill, range(len(first.grams))))
    return draws


def independent_steps(values: NDArray[Any], rng: np.random.Generator) -> Iterator[Floats]:
    """States, site by site, of a walk that takes the recording's steps, each with samples permuted.

    What a step is stays; what it has to do with the state and with other steps goes.
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
    """CKA and Procrustes distance `(step)` of each set with the next."""
    remaining = iter(states)
    with thread_pool() as pool:
        sets = (
            made
            for some in iter(lambda: list(islice(remaining, AT_ONCE)), [])
            for made in pool.map(lambda each: one_set(each, min(n_components, *each.shape)), some)
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
