"""Findings of the autoencoder in words: whether it beats PCA of equal rank and the site mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transformer_dynamics.measures.dimension.reconstruction.scores import Scores


def findings(scores: Scores, bottlenecks: Sequence[int]) -> list[str]:
    """Describe the result of each bottleneck in words."""
    sentences = []
    value, (gain, low, high) = scores.over_all[0], (part[0] for part in scores.gain)
    for index, bottleneck in enumerate(bottlenecks):
        ends = low[index], high[index]
        if not np.isfinite([value[0, 0, index], *ends]).all():
            sentences.append(f"With {bottleneck} numbers: not defined.")
            continue
        outcome = "does not beat PCA of equal rank by more than the interval"
        if ends[0] > 0:
            outcome = "beats PCA of equal rank"
        elif ends[1] < 0:
            outcome = "is worse than PCA of equal rank"
        own = value[0, 1, index]
        comparison = "better" if own > 0 else "no better"
        sentences.append(
            f"With {bottleneck} numbers the autoencoder explains {value[0, 0, index]:.3f} of the "
            f"held-out variance about the global mean, PCA {value[1, 0, index]:.3f}: it {outcome} "
            f"(difference {gain[index]:+.3f}, 95 % {ends[0]:+.3f} to {ends[1]:+.3f}). The site's "
            f"mean alone, without any number of the text, explains {value[2, 0, index]:.3f}; about "
            f"it the autoencoder explains {own:.3f}, which is {comparison} than knowing the site."
        )
    return sentences
