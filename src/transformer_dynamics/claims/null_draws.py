"""Draws of nulls from a recording, shared by all claims that name the null.

Each draw has its own seed, made from the run's seed, the null's name and the draw's number. Draws
come in batches of fixed size, and drawing ends once `N_EXCEEDING` draws exceed the recording, or
after `N_SHOWN` draws of a null that is only shown. The numbers therefore do not depend on the
number of threads. Threads of our own: joblib cannot be stopped between two draws.

Cost: each null is drawn and measured at most `n_null` times. Memory: two recordings per thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import threadpoolctl

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS
from transformer_dynamics.stats.bootstrap import uniform_weights
from transformer_dynamics.stats.significance import has_exceeded

# p is then known to about a fifth of its value.
N_EXCEEDING = 20
# Enough for the mean and the spread of a null that is only shown.
N_SHOWN = 100
BATCH = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DrawnNull:
    """A null with the claims that share its draws.

    Attributes:
        name: name of the null.
        source: `recording -> recording` that the null is drawn from.
        claims: the claims.
        own: `(recording, seed) -> profile` of a null of one claim alone.
    """

    name: str
    source: Callable[[Recording], Recording]
    claims: tuple[Claim, ...]
    own: Callable[[Recording, int], Floats] | None = None

    def draw(self, recording: Recording, seed: int) -> Recording:
        """One draw, as a recording."""
        drawn: Recording = NULLS.get(self.name).function(recording, seed=seed)
        return drawn

    def profiles(
        self, recording: Recording, seed: int, claims: Sequence[Claim]
    ) -> dict[str, Floats]:
        """Profiles of one draw, by claim."""
        if self.own is not None:
            return {claim.id: self.own(recording, seed) for claim in claims}
        drawn = self.draw(recording, seed)
        weights = uniform_weights(drawn.shape[0])
        return {claim.id: claim.profile(drawn, weights)[0] for claim in claims}


@dataclass(frozen=True)
class DrawPlan:
    """Numbers that determine the draws.

    Attributes:
        n_null: largest number of draws of a null.
        seed: seed of the run.
        n_threads: number of draws made at the same time.
    """

    n_null: int
    seed: int
    n_threads: int


def drawn_nulls(claims: Sequence[Claim]) -> list[DrawnNull]:
    """Nulls that are drawn from the recording, with the claims that name them."""
    shared: dict[tuple[str, Callable[[Recording], Recording]], list[Claim]] = {}
    own = []
    for claim in claims:
        for name in claim.all_nulls:
            if not NULLS.get(name).needs_model:
                shared.setdefault((name, claim.drawn_from), []).append(claim)
        own += [
            DrawnNull(name, claim.drawn_from, (claim,), null.profile)
            for name, null in claim.own_nulls.items()
        ]
    return [DrawnNull(name, source, tuple(users)) for (name, source), users in shared.items()] + own


def draw_nulls(
    nulls: Sequence[DrawnNull],
    recording: Recording,
    values: Mapping[str, float],
    plan: DrawPlan,
    on_progress: Progress | None = None,
) -> Generator[tuple[DrawnNull, dict[str, Floats]]]:
    """Draw all nulls, and give for each the profiles of its draws, `(draw, ...)`, by claim.

    Args:
        nulls: the nulls.
        recording: the recording.
        values: statistic of the recording, by claim.
        plan: numbers of draws and threads, and the seed.
        on_progress: called with the number of draws done and their largest number.
    """
    counter = _Counter(len(nulls) * plan.n_null, on_progress)
    # One thread per draw and one BLAS thread each: draws are independent, matrix products small.
    with threadpoolctl.threadpool_limits(1, user_api="blas"), _pool(plan.n_threads) as pool:
        for index, null in enumerate(nulls):
            profiles = _draw(null, null.source(recording), values, pool, plan, counter)
            counter.reach((index + 1) * plan.n_null)
            yield null, profiles


def draw_seed(seed: int, name: str, number: int) -> int:
    """Seed of one draw, whatever thread makes it and in whatever order."""
    entropy = (seed, zlib.crc32(name.encode()), number)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _draw(
    null: DrawnNull,
    source: Recording,
    values: Mapping[str, float],
    pool: ThreadPoolExecutor,
    plan: DrawPlan,
    counter: _Counter,
) -> dict[str, Floats]:
    """Profiles of the draws of one null, `(draw, ...)`, by claim."""
    profiles: dict[str, list[Floats]] = {claim.id: [] for claim in null.claims}
    open_claims = null.claims
    for start in range(0, plan.n_null, BATCH):
        stop = min(start + BATCH, plan.n_null)
        seeds = [draw_seed(plan.seed, null.name, number) for number in range(start, stop)]
        tasks = [pool.submit(null.profiles, source, each, open_claims) for each in seeds]
        for task in tasks:
            for name, profile in task.result().items():
                profiles[name].append(profile)
            counter.add()
        open_claims = tuple(
            claim
            for claim in open_claims
            if (null.name in claim.nulls or start + BATCH < N_SHOWN)
            and not has_exceeded(
                values[claim.id],
                claim.summary(np.stack(profiles[claim.id])),
                direction=claim.direction,
                n_exceeding=N_EXCEEDING,
            )
        )
        if not open_claims:
            break
    return {name: np.stack(each) for name, each in profiles.items()}


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


@contextmanager
def _pool(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that finish their present draw on an error or Ctrl-C, and begin no other."""
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
