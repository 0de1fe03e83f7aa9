"""Compare a claim's statistic with each of its nulls: p-value and effect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.evidence import Gathered, NullEvidence
from transformer_dynamics.claims.null_draws import N_EXCEEDING
from transformer_dynamics.claims.verdict import NullComparison
from transformer_dynamics.stats.significance import has_exceeded, joint_student_p, sequential_p

# A standard error below this share of the values is rounding.
ROUNDING = 1e-9


def compare(claim: Claim, gathered: Gathered) -> dict[str, NullComparison]:
    """Compare the statistic with each null, by name."""
    least = 1 / (1 + len(gathered.bootstrap))
    return {
        name: _comparison(claim, null, decides=name in claim.nulls, least=least)
        for name, null in gathered.nulls.items()
    }


def _comparison(claim: Claim, null: NullEvidence, *, decides: bool, least: float) -> NullComparison:
    mean, count = float(null.statistics.mean()), len(null.statistics)
    difference = null.own - mean
    if null.spread == "draws":
        sd = _sd(null.statistics, null.own)
        stopping: dict[str, Any] = {"direction": claim.direction, "n_exceeding": N_EXCEEDING}
        p = sequential_p(null.own, null.statistics, **stopping)
        stopped = has_exceeded(null.own, null.statistics, **stopping)
        estimator = "sequential" if stopped else "monte carlo"
    else:
        n_groups = null.n_groups
        error = _sd(null.differences, null.own) * math.sqrt(n_groups / max(1, n_groups - 1))
        sd, parts = error * math.sqrt(n_groups), [(error, n_groups - 1)]
        if null.spread == "seeds":
            sd = _sd(null.statistics, null.own)
            parts.append((sd * math.sqrt(1 + 1 / count), count - 1))
        p = joint_student_p(difference, parts, direction=claim.direction, least=least)
        count, estimator = count if null.spread == "seeds" else n_groups, "student"
    effect = difference / sd if sd > 0 else math.nan
    return NullComparison(mean, sd, p, effect, decides, null.spread, count, null.own, estimator)


def _sd(draws: np.ndarray[Any, np.dtype[np.float64]], value: float) -> float:
    """Standard deviation of the defined draws; NaN where fewer than half are defined.

    A draw of few texts may hold none of the texts that a statistic needs. 0 for rounding.
    """
    defined = draws[np.isfinite(draws)]
    if len(defined) < max(2, len(draws) / 2):
        return math.nan
    sd = float(np.std(defined, ddof=1))
    return sd if sd > ROUNDING * max(abs(value), abs(float(defined.mean()))) else 0.0
