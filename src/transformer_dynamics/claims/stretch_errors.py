"""Errors of the rotate-and-stretch law and of standing still, for one pair of sites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transformer_dynamics.measures.dynamics.singular_bases import SingularBasis
from transformer_dynamics.numerics.arrays import Floats


@dataclass(frozen=True)
class Site:
    """States of one site.

    Attributes:
        fitted: states of the fitted samples, `(sample, unit)`.
        predicted: states of the predicted samples, `(sample, unit)`.
        basis: singular basis of the fitted states.
    """

    fitted: Floats
    predicted: Floats
    basis: SingularBasis


def log_error_ratio(weights: Floats, before: Site, after: Site) -> Floats:
    """Ln of standing still's error over the law's error for one pair of sites, `(draw)`.

    Both errors are within the singular vectors that the two sites share in number. Each component
    takes the sign that agrees best on the fitted samples.

    Args:
        weights: weights of the predicted samples, `(draw, sample)`.
        before: the earlier site.
        after: the later site.
    """
    shared = min(site.basis.values.size for site in (before, after))
    earlier, later = (site.basis.vectors[:, :shared] for site in (before, after))
    stretch = after.basis.values[:shared] / before.basis.values[:shared]
    means = [site.fitted.mean(axis=0) for site in (before, after)]
    trained = [site.fitted - mean for site, mean in zip((before, after), means, strict=True)]
    scored = [site.predicted - mean for site, mean in zip((before, after), means, strict=True)]
    target = trained[1] @ later
    signs = np.where(((trained[0] @ earlier) * target).sum(axis=0) < 0, -1.0, 1.0)
    still = trained[0] @ later
    power = float(np.vdot(still, still))
    scale = float(np.vdot(still, target)) / power if power > 0 else 0.0
    actual = scored[1] @ later
    law_error = actual - (scored[0] @ earlier) * (stretch * signs)
    still_error = actual - scale * (scored[0] @ later)
    law, standing, whole = (
        np.einsum("nk,nk->n", part, part) for part in (law_error, still_error, actual)
    )
    squares = np.vdot(after.predicted, after.predicted)
    floor = (4 * np.finfo(np.float32).eps) ** 2 * squares / len(after.predicted)
    if whole.mean() <= floor:  # texts do not differ: nothing to predict
        return np.full(len(weights), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Errors below rounding count as rounding.
        ratio: Floats = np.log((weights @ (standing + floor)) / (weights @ (law + floor)))
    return ratio
