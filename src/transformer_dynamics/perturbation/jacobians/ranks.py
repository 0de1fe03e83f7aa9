"""Effective dimension of matrices and of products of steps, from their singular values sigma.

    effective rank     exp(-sum p ln p), p = sigma / sum sigma    (Roy and Vetterli 2007)
    participation      (sum sigma^2)^2 / sum sigma^4
    stable rank        sum sigma^2 / max sigma^2

Products of any matrices collapse in rank, random ones too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.parallel import map_in_threads

# Products held in memory while the cores decompose them.
PRODUCTS_AT_ONCE = 8


def effective_rank(singular_values: Floats) -> dict[str, Floats]:
    """Three ranks of matrices with these singular values, `(..., value)` to `(...)`.

    >>> {name: float(rank) for name, rank in effective_rank(np.ones(4)).items()}
    {'effective_rank': 4.0, 'participation_ratio': 4.0, 'stable_rank': 4.0}
    """
    shares = ratio(singular_values, singular_values.sum(axis=-1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(shares > 0, shares * np.log(shares), shares).sum(axis=-1)
    squares = singular_values**2
    return {
        "effective_rank": np.exp(entropy),
        "participation_ratio": ratio(squares.sum(axis=-1) ** 2, (squares**2).sum(axis=-1)),
        "stable_rank": ratio(squares.sum(axis=-1), squares.max(axis=-1)),
    }


def composed_ranks(matrices: Sequence[Floats] | Floats) -> tuple[dict[str, Floats], Floats]:
    """Ranks of the products of the first 1, 2, ... steps, and singular values of the last product.

    Args:
        matrices: `(step, unit, unit)`, or a matrix per step, the first step first.

    Returns:
        Three ranks by name, `(step)`; singular values of the whole product over the largest one,
        `(unit)`.
    """
    values: list[Floats] = []
    product = np.eye(len(matrices[0]))
    for first in range(0, len(matrices), PRODUCTS_AT_ONCE):
        products = []
        for matrix in matrices[first : first + PRODUCTS_AT_ONCE]:
            product = matrix @ product
            product /= max(np.abs(product).max(), np.finfo(np.float64).tiny)  # ranks have no scale
            products.append(product)
        values += map_in_threads(lambda each: singular_values_of_gram(each.T @ each), products)
    values[-1] = np.asarray(np.linalg.svd(product, compute_uv=False), dtype=np.float64)
    return effective_rank(np.stack(values)), ratio(values[-1], values[-1].max())


def singular_values_of_gram(gram: Floats) -> Floats:
    """Singular values of A from A^T A, descending, in half the time and to half the digits.

    Values below about 1e-8 of the largest are lost; they add nothing to a rank.
    """
    squares = np.linalg.eigvalsh(gram)
    values: Floats = np.sqrt(np.maximum(squares[::-1], 0.0))
    return values
