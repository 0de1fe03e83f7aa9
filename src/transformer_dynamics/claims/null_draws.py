"""Draws of nulls in rounds, until the verdicts no longer depend on them.

In each round every open null is drawn `BATCH` times. Between rounds a null closes for a claim

    where `N_EXCEEDING` of its draws reach the recording (Besag and Clifford 1991)
    after `N_SHOWN` draws, where it is only shown or the verdict is settled without it
    after `n_null` draws

A verdict is settled by its intervals, or by a deciding null that is not exceeded. A supported claim
is never settled, so the p-values that support it are those of full sequences. Draws have seeds of
their own and nulls close between rounds: the results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.drawn_nulls import DrawnNull, Profiles, draw_seed, profiles_of
from transformer_dynamics.claims.verdict import LEVEL
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import Once, Pool, Task
from transformer_dynamics.stats.significance import has_exceeded, sequential_p

# p is then known to about a fifth of its value.
N_EXCEEDING = 20
# Enough for mean and spread where the verdict does not depend on the null.
N_SHOWN = 40
BATCH = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DrawPlan:
    """Numbers that determine the draws.

    Attributes:
        n_null: largest number of draws of a null.
        seed: seed of the run.
    """

    n_null: int
    seed: int


def draw_nulls(
    nulls: Sequence[DrawnNull],
    recording: Any,
    values: Mapping[str, float],
    plan: DrawPlan,
    pool: Pool,
    *,
    settled: Set[str] = frozenset(),
    on_progress: Progress | None = None,
) -> list[Profiles]:
    """Draw all nulls, and give for each the profiles of its draws, `(draw, ...)`, by claim.

    Args:
        nulls: the nulls.
        recording: the recording, or a handle of the pool.
        values: statistic of the recording, by claim.
        plan: numbers of draws, and the seed.
        pool: threads or workers that make the draws.
        settled: ids of the claims whose verdict does not depend on these nulls.
        on_progress: called with the number of draws done and their largest number.
    """
    series = [_Series(null, pool.once(null.prepare, recording)) for null in nulls]
    counter, settled = _Counter(len(nulls) * plan.n_null, on_progress), set(settled)
    for start in range(0, plan.n_null, BATCH):
        stop = min(start + BATCH, plan.n_null)
        still = [each for each in series if each.claims]
        tasks = [
            (each, each.start(pool, draw_seed(plan.seed, each.null.name, number)))
            for each in still
            for number in range(start, stop)
        ]
        for each, task in tasks:
            each.add(task.result())
            counter.add()
        for each in still:
            settled |= each.settled_by(values)
        for each in still:
            each.close(values, settled)
        n_open = sum(bool(each.claims) for each in series)
        counter.reach(n_open * stop + (len(series) - n_open) * plan.n_null)
        if not n_open:
            break
    counter.reach(len(nulls) * plan.n_null)
    return [each.stacked() for each in series]


class _Series:
    """Draws of one null so far, and the claims that need more of them."""

    def __init__(self, null: DrawnNull, draw: Once) -> None:
        self.null, self.claims = null, null.claims
        self._draw = draw
        self._profiles: dict[str, list[Floats]] = {claim.id: [] for claim in null.claims}

    def start(self, pool: Pool, seed: int) -> Task:
        """Start a draw for the claims that need more of them."""
        return pool.submit(profiles_of, self._draw, seed, self.claims)

    def add(self, drawn: Profiles) -> None:
        """Keep the profiles of one draw."""
        for name, profile in drawn.items():
            self._profiles[name].append(profile)

    def stacked(self) -> Profiles:
        """Profiles of all draws, `(draw, ...)`, by claim."""
        return {name: np.stack(each) for name, each in self._profiles.items()}

    def settled_by(self, values: Mapping[str, float]) -> set[str]:
        """Claims that this null decides and that do not exceed it."""
        return {
            claim.id
            for claim in self.claims
            if self.null.name in claim.nulls
            and self._has_exceeded(claim, values)
            and not self._p(claim, values) <= LEVEL
        }

    def close(self, values: Mapping[str, float], settled: Set[str]) -> None:
        """Leave the claims that need more draws."""
        self.claims = tuple(
            claim
            for claim in self.claims
            if not self._has_exceeded(claim, values)
            and (
                len(self._profiles[claim.id]) < N_SHOWN
                or (self.null.name in claim.nulls and claim.id not in settled)
            )
        )

    def _statistics(self, claim: Claim) -> Floats:
        return claim.summary(np.stack(self._profiles[claim.id]))

    def _has_exceeded(self, claim: Claim, values: Mapping[str, float]) -> bool:
        return has_exceeded(
            values[claim.id],
            self._statistics(claim),
            direction=claim.direction,
            n_exceeding=N_EXCEEDING,
        )

    def _p(self, claim: Claim, values: Mapping[str, float]) -> float:
        return sequential_p(
            values[claim.id],
            self._statistics(claim),
            direction=claim.direction,
            n_exceeding=N_EXCEEDING,
        )


class _Counter:
    """Count of the draws, for progress; draws that are not needed count as done."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self._total, self._done, self._report = total, 0, on_progress

    def reach(self, done: int) -> None:
        if done > self._done:
            self._done = done
            if self._report is not None:
                self._report(done, self._total)

    def add(self) -> None:
        self.reach(self._done + 1)
