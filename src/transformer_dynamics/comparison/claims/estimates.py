"""Statistics of claims with their bootstrap draws, of one run or of two on the same resamples.

Two runs of the same texts are resampled together: draw b takes the same texts in both, so that the
texts' common effect cancels in the difference. Other runs are resampled independently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.claims import Claim
from transformer_dynamics.claims.drawn_nulls import draw_seed
from transformer_dynamics.claims.evidence import Estimate
from transformer_dynamics.claims.gathering import FEW
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.comparison.texts import texts_of
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.stats.bootstrap import left_out_weights, text_weights, uniform_weights


@dataclass(frozen=True)
class Resampled:
    """Profile and statistic of a claim with their bootstrap draws.

    Attributes:
        profiles: profile of all texts, then of each draw, `(1 + draw, ...)`.
        estimate: statistic with its draws.
        n_groups: number of resampled texts, or groups of texts.
    """

    profiles: Floats
    estimate: Estimate
    n_groups: int


class Resampling:
    """Bootstrap over texts of the claims of several runs; each statistic is computed once.

    Args:
        n_bootstrap: number of draws.
        seed: seed of the draws.
    """

    def __init__(self, n_bootstrap: int, seed: int) -> None:
        self.n_bootstrap, self._seed = n_bootstrap, seed
        self._known: dict[tuple[str, str, int, bytes], Resampled] = {}

    def weights(self, groups: NDArray[np.int64], stream: int = 0) -> Floats:
        """Equal weights of all samples, then those of each draw, `(1 + draw, sample)`.

        Args:
            groups: text of each sample, or its group, `(sample,)`.
            stream: number of the random stream; equal streams and groups draw the same texts.
        """
        seed = draw_seed(self._seed, "comparison", stream)
        draws = text_weights(groups, self.n_bootstrap, seed=seed)
        return np.concatenate([uniform_weights(len(groups)), draws])

    def of_run(self, run: ComparedRun, claim: Claim, subject: Subject) -> Resampled:
        """Profile and statistic of a claim in a run, on all its texts."""
        return self.of(run, claim, subject.data, subject.groups)

    def of(
        self,
        run: ComparedRun,
        claim: Claim,
        data: Any,
        groups: NDArray[np.int64],
        stream: int = 0,
    ) -> Resampled:
        """Profile and statistic of a claim for all texts and for bootstrap draws.

        Args:
            run: the run, which names what is kept.
            claim: the claim.
            data: a recording without its final site, or the tested part of a perturbation's result.
            groups: text of each sample, or its group, `(sample,)`.
            stream: number of the random stream.
        """
        texts = texts_of(data)
        key = run.name, claim.id, stream, np.stack([texts, groups]).tobytes()
        if key not in self._known:
            self._known[key] = self._computed(claim, data, groups, stream)
        return self._known[key]

    def _computed(
        self, claim: Claim, data: Any, groups: NDArray[np.int64], stream: int
    ) -> Resampled:
        n_groups = len(np.unique(groups))
        weights = [self.weights(groups, stream)]
        if n_groups < FEW:
            weights.append(left_out_weights(groups))
        profiles = claim.profile(data, np.concatenate(weights))
        statistics, stop = claim.summary(profiles), 1 + self.n_bootstrap
        left_out = statistics[stop:] if len(statistics) > stop else None
        estimate = Estimate(float(statistics[0]), statistics[1:stop], left_out)
        return Resampled(profiles[:stop], estimate, n_groups)


def difference_of(first: Resampled, other: Resampled, *, paired: bool) -> Estimate:
    """Difference of two statistics, the other minus the first, with its draws.

    Args:
        first: statistic of the first run.
        other: statistic of the other run.
        paired: whether both have the same texts in each draw. Otherwise the interval's correction
            for skew takes the jackknife values of both.
    """
    ours, theirs = first.estimate, other.estimate
    value, left_out = theirs.value - ours.value, None
    if ours.left_out is not None and theirs.left_out is not None:
        if paired:
            left_out = theirs.left_out - ours.left_out
        else:
            deviations = theirs.left_out - theirs.value, ours.value - ours.left_out
            left_out = value + np.concatenate(deviations)
    return Estimate(value, theirs.bootstrap - ours.bootstrap, left_out)
