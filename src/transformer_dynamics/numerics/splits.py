"""Splits of samples by text, or by group of texts such as the paragraphs of one article.

A model is never fitted and scored on the same text; pass `recording.groups` to keep whole groups
together. Texts are ordered at random, seeded, and cut at the requested shares; every part has at
least one text. Cost: one permutation of the texts. Source: ours.

`sklearn.model_selection.GroupKFold` and `GroupShuffleSplit` draw other splits from the same seed,
and the latter makes two parts only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import InputError


def split_texts(
    text_index: ArrayLike, shares: Sequence[float] = (0.5, 0.5), *, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Split samples at random by text.

    Args:
        text_index: the text of each sample, or its group, `(sample,)`; any labels.
        shares: relative sizes of the parts, in texts.
        seed: seed of the order of the texts.

    Returns:
        Positions along `sample` in each part, ascending; a text lies in one part with all samples.

    Raises:
        InputError: there are fewer texts than parts, or a share is not positive.

    >>> split_texts([0, 0, 1, 1, 2, 2], (2, 1), seed=1)
    [array([0, 1, 2, 3]), array([4, 5])]
    """
    texts = np.asarray(text_index)
    names, text_of_sample = np.unique(texts, return_inverse=True)
    if texts.ndim != 1 or len(names) < len(shares) or min(shares, default=0) <= 0:
        raise InputError(
            f"got {len(names)} texts or groups of texts to split into parts of {tuple(shares)}; a "
            "split takes at least one text for each part, or one group, and positive shares: "
            "split_texts(recording.groups, (0.5, 0.5))"
        )
    ends = np.rint(np.cumsum(shares) / np.sum(shares) * len(names)).astype(int)
    # A forward and a backward pass give every part at least one text.
    ends[0] = max(ends[0], 1)
    for part in range(1, len(ends)):
        ends[part] = max(ends[part], ends[part - 1] + 1)
    ends = np.minimum(ends, len(names) - np.arange(len(ends))[::-1])
    part_of_text = np.empty(len(names), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    for part, texts_in_part in enumerate(np.split(order, ends[:-1])):
        part_of_text[texts_in_part] = part
    part_of_sample = part_of_text[text_of_sample]
    return [np.flatnonzero(part_of_sample == part) for part in range(len(shares))]


def text_folds(text_index: ArrayLike, n_folds: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Assign each sample to a fold, `(sample)`; samples of one text share a fold.

    Args:
        text_index: the text of each sample, or its group, `(sample)`.
        n_folds: number of folds; the number of texts where that is smaller.
        seed: seed of the assignment, which is balanced in texts.

    Raises:
        InputError: fewer than two folds.

    >>> folds = text_folds([0, 0, 1, 2, 3], 2)
    >>> folds[0] == folds[1], sorted(np.bincount(folds[1:]).tolist())
    (np.True_, [2, 2])
    """
    if n_folds < 2:
        raise InputError(
            f"got n_folds={n_folds}; cross-validation needs at least two folds: n_folds=4"
        )
    texts, text_of_sample = np.unique(np.asarray(text_index), return_inverse=True)
    order = np.random.default_rng(seed).permutation(texts.size)
    folds: NDArray[np.int64] = (order % min(n_folds, texts.size))[text_of_sample]
    return folds
