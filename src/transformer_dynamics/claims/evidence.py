"""Gather the evidence for claims: bootstrap over texts, and the statistic under every null.

A null is compared in one of three ways, by what it consists of:

    draws   surrogates drawn from the recording: Monte Carlo p-value, drawn until `N_EXCEEDING`
            draws exceed the recording or the most draws are made; `N_SHOWN` draws at most of a null
            that is only shown
    seeds   several recordings, as untrained twins of several seeds: Student's t of a new
            observation, with the variance over seeds and that over texts
    texts   one recording of the same samples: Student's t of the paired difference, with its
            bootstrap standard error over texts

Draws of one null are shared by all the claims that name it. Each draw has its own seed, made from
the run's seed, the null's name and the draw's number, so the numbers do not depend on how the draws
are spread over threads. Draws come in batches of fixed size, for the same reason.

Cost: for each null at most `n_null` times drawing and measuring. Memory: two recordings per thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import threadpoolctl
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.subjects import Rival, Subject
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS
from transformer_dynamics.stats.bootstrap import (
    corrected_interval,
    left_out_weights,
    percentile_interval,
    text_weights,
    uniform_weights,
)
from transformer_dynamics.stats.significance import has_exceeded
from transformer_dynamics.storage.attributes import plain_attributes

# Draws that exceed the recording after which no more are made: p is then known to about a fifth.
N_EXCEEDING = 20
# The most draws of a null that is only shown: its mean and spread need no more.
N_SHOWN = 100
# Draws that are made before exceedances are counted again.
BATCH = 20
# Bootstrap draws of a standard error.
N_ERROR = 199
# Share of resamples on which a statistic may be undefined.
MOST_UNDEFINED = 0.05
# Groups of texts below which intervals are corrected for bias and skew.
FEW = 100


@dataclass(frozen=True)
class Estimate:
    """A statistic with its resamples.

    Attributes:
        value: the statistic.
        bootstrap: in each bootstrap draw over texts, `(draw)`.
        left_out: without each text in turn, `(text)`, where texts are few; otherwise None.
    """

    value: float
    bootstrap: Floats
    left_out: Floats | None

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, corrected for bias and skew where texts are few.

        Some resamples may lack the texts that a statistic needs, as all those of one half: up to
        `MOST_UNDEFINED` of them are left out, and beyond that the interval is not defined.
        """
        draws = self.bootstrap
        if np.isnan(draws).mean() <= MOST_UNDEFINED:
            draws = draws[~np.isnan(draws)]
        return corrected_interval(self.value, draws, self.left_out)


@dataclass
class NullEvidence:
    """A claim's profile and statistic under one null.

    Attributes:
        spread: `draws`, `seeds` or `texts`, see the module.
        profiles: of each draw or recording, `(draw, ...)`.
        statistics: of these, `(draw)`.
        band: the profiles that a figure's band is taken over, `(draw, ...)`.
        shown: the statistics that a figure shows, `(draw)`.
        own: the statistic of the recording on the samples that it shares with the null.
        differences: bootstrap draws of `own` less the mean of `statistics`, `(draw)`; empty for
            `draws`.
        n_groups: texts, or groups of texts, that they are resampled over.
    """

    spread: str
    profiles: Floats
    statistics: Floats
    band: Floats
    shown: Floats
    own: float
    differences: Floats
    n_groups: int


@dataclass
class Gathered:
    """The evidence for one claim.

    Attributes:
        plain: the profile, `(...)`.
        bootstrap: its bootstrap draws, `(draw, ...)`.
        estimate: the statistic.
        conditions: the statistics of the claim's conditions.
        nulls: by name.
        pictures: the claim's picture of each null's first draw.
    """

    plain: Floats
    bootstrap: Floats
    estimate: Estimate
    conditions: list[Estimate]
    nulls: dict[str, NullEvidence] = field(default_factory=dict)
    illustrations: dict[str, Floats] = field(default_factory=dict)


def gather(
    claims: Iterable[Claim],
    subjects: Mapping[str, Subject],
    recording: Recording,
    *,
    n_null: int,
    n_bootstrap: int,
    seed: int,
    n_threads: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Gathered]:
    """Evidence for every claim, by its id."""
    claims = list(claims)
    gathered = {
        claim.id: _of_recording(claim, subjects[claim.id], n_bootstrap, seed) for claim in claims
    }
    groups = _groups([claim for claim in claims if claim.perturbation is None])
    report = _Counter(len(groups) * n_null, on_progress)
    # One thread per draw and one BLAS thread each: draws are independent, matrix products small.
    with threadpoolctl.threadpool_limits(1, user_api="blas"), _pool(n_threads) as pool:
        for place, group in enumerate(groups):
            source = group.source(recording)
            values = {claim.id: gathered[claim.id].estimate.value for claim in group.claims}
            drawn = _drawn(group, source, values, pool, (n_null, seed), report)
            report.reach((place + 1) * n_null)
            for claim in group.claims:
                found = gathered[claim.id]
                found.nulls[group.name] = _of_draws(claim, drawn[claim.id], found.estimate.value)
                if claim.illustration is not None and group.own is None:
                    first = group.draw(source, draw_seed(seed, group.name, 0))
                    found.illustrations[group.name] = claim.illustration(first)
    return gathered


def _of_recording(claim: Claim, subject: Subject, n_bootstrap: int, seed: int) -> Gathered:
    """The claim's profile, statistic and conditions, and its nulls that are recordings."""
    drawn = draw_seed(seed, "bootstrap", 0)
    weights = [
        uniform_weights(len(subject.groups)),
        text_weights(subject.groups, n_bootstrap, seed=drawn),
    ]
    if len(np.unique(subject.groups)) < FEW:
        weights.append(left_out_weights(subject.groups))
    profiles = [claim.profile(subject.data, each) for each in weights]
    conditions = [
        _estimate([each.summary(each.profile(subject.data, rows)) for rows in weights])
        for each in claim.conditions
    ]
    estimate = _estimate([claim.summary(profile) for profile in profiles])
    found = Gathered(profiles[0][0], profiles[1], estimate, conditions)
    for name in claim.all_nulls:
        if name in subject.nulls:
            rival = subject.nulls[name]
            found.nulls[name] = _of_rival(claim, subject, rival, drawn)
            if claim.illustration is not None:
                found.illustrations[name] = claim.illustration(rival.recordings[0])
    return found


def _estimate(statistics: Sequence[Floats]) -> Estimate:
    left_out = statistics[2] if len(statistics) > 2 else None
    return Estimate(float(statistics[0][0]), statistics[1], left_out)


def _of_rival(claim: Claim, subject: Subject, rival: Rival, seed: int) -> NullEvidence:
    """Compare with a null that is one recording, or several."""
    shared = rival.shared(subject.data)
    groups = subject.groups[rival.rows]
    one, weights = uniform_weights(len(groups)), text_weights(groups, N_ERROR, seed=seed)
    own = float(claim.summary(claim.profile(shared, one))[0])
    profiles = np.concatenate([claim.profile(each, one) for each in rival.recordings])
    resampled = [claim.profile(each, weights) for each in rival.recordings]
    statistics = np.stack([claim.summary(each) for each in resampled])
    differences = claim.summary(claim.profile(shared, weights)) - statistics.mean(axis=0)
    plain = claim.summary(profiles)
    several = len(rival.recordings) > 1
    return NullEvidence(
        "seeds" if several else "texts",
        profiles,
        plain,
        profiles if several else resampled[0],
        plain if several else statistics[0],
        own,
        differences,
        len(np.unique(groups)),
    )


def _of_draws(claim: Claim, profiles: Floats, value: float) -> NullEvidence:
    statistics = claim.summary(profiles)
    return NullEvidence(
        "draws", profiles, statistics, profiles, statistics, value, np.empty(0), len(profiles)
    )


class _Counter:
    """Count draws and report them; draws that are not needed count as done."""

    def __init__(self, total: int, on_progress: Callable[[int, int], None] | None) -> None:
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
    """Threads that, on an error or Ctrl-C, finish what they are at and begin nothing more."""
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Group:
    """A null and the claims that look at the same draws of it."""

    name: str
    source: Callable[[Recording], Recording]
    claims: tuple[Claim, ...]
    own: Callable[[Recording, int], Floats] | None = None

    def draw(self, recording: Recording, seed: int) -> Recording:
        drawn: Recording = NULLS.get(self.name).function(recording, seed=seed)
        return drawn

    def profiles(
        self, recording: Recording, seed: int, claims: Sequence[Claim]
    ) -> dict[str, Floats]:
        if self.own is not None:
            return {claim.id: self.own(recording, seed) for claim in claims}
        drawn = self.draw(recording, seed)
        weights = uniform_weights(drawn.shape[0])
        return {claim.id: claim.profile(drawn, weights)[0] for claim in claims}


def _drawn(
    group: _Group,
    source: Recording,
    values: Mapping[str, float],
    pool: ThreadPoolExecutor,
    how_many: tuple[int, int],
    report: _Counter,
) -> dict[str, Floats]:
    """Profiles of the draws of one null, `(draw, ...)`, by claim.

    Args:
        group: the null and its claims.
        source: what it is drawn from.
        values: the statistics of the recording, by claim.
        pool: where draws are made.
        how_many: the most draws, and the run's seed.
        report: counts the draws.
    """
    n_null, seed = how_many
    profiles: dict[str, list[Floats]] = {claim.id: [] for claim in group.claims}
    open_claims = group.claims
    for start in range(0, n_null, BATCH):
        numbers = range(start, min(start + BATCH, n_null))
        tasks = [
            pool.submit(group.profiles, source, draw_seed(seed, group.name, number), open_claims)
            for number in numbers
        ]
        for task in tasks:
            for name, profile in task.result().items():
                profiles[name].append(profile)
            report.add()
        open_claims = tuple(
            claim
            for claim in open_claims
            if (group.name in claim.nulls or start + BATCH < N_SHOWN)
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


def _groups(claims: list[Claim]) -> list[_Group]:
    shared: dict[tuple[str, Callable[[Recording], Recording]], list[Claim]] = {}
    groups = []
    for claim in claims:
        for name in claim.all_nulls:
            if not NULLS.get(name).needs_model:
                shared.setdefault((name, claim.drawn_from), []).append(claim)
        groups += [
            _Group(name, claim.drawn_from, (claim,), own) for name, own in claim.own_nulls.items()
        ]
    return [_Group(name, source, tuple(users)) for (name, source), users in shared.items()] + groups


def draw_seed(seed: int, name: str, number: int) -> int:
    """The seed of one draw: the same wherever and in whatever order it is drawn."""
    entropy = (seed, zlib.crc32(name.encode()), number)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


DESCRIBED = {
    "statistic_low": "lower end of the 95 % interval over texts",
    "profile_low": "2.5 % of the bootstrap over texts",
    "null_low": "2.5 % of the null's draws or seeds, or of its bootstrap where it is one recording",
    "null_statistic": "of each draw or seed, or of each bootstrap draw of a null of one recording",
    "null_example": "the first draw",
}


def as_dataset(claim: Claim, gathered: Gathered, subject: Subject) -> xr.Dataset:
    """The evidence as one Dataset, from which the figures are drawn."""
    names = sorted(gathered.nulls, key=lambda name: (name not in claim.nulls, name))
    nulls = [gathered.nulls[name] for name in names]
    low, high = percentile_interval(gathered.bootstrap)
    bands = [percentile_interval(null.band) for null in nulls]
    shape = (0, *gathered.plain.shape)

    def stacked(parts: list[Any]) -> Floats:
        return np.stack(parts) if parts else np.empty(shape)

    null_dims = ("null", *claim.dims)
    described = {
        "claim": claim.id,
        "statistic": claim.statistic,
        "source": claim.source,
        "deciding": list(claim.nulls),
        "resampled": subject.resampled,
        "reasons": {**claim.nulls, **claim.shown, **claim.own_reasons},
    }
    evidence = xr.Dataset(
        {
            "profile": (claim.dims, gathered.plain),
            "profile_low": (claim.dims, low),
            "profile_high": (claim.dims, high),
            "null_profile": (null_dims, stacked([null.profiles.mean(axis=0) for null in nulls])),
            "null_low": (null_dims, stacked([band[0] for band in bands])),
            "null_high": (null_dims, stacked([band[1] for band in bands])),
            "null_example": (null_dims, stacked([null.profiles[0] for null in nulls])),
            "statistic": gathered.estimate.value,
            "statistic_low": gathered.estimate.interval[0],
            "statistic_high": gathered.estimate.interval[1],
            "null_mean": ("null", [null.statistics.mean() for null in nulls]),
            "null_spread": ("null", np.array([null.spread for null in nulls], dtype=object)),
            "null_statistic": (("null", "draw"), _padded([null.shown for null in nulls])),
        },
        coords={"null": np.array(names, dtype=object), **claim.coords(subject.data)},
        attrs=plain_attributes({**DESCRIBED, **described}),
    )
    if claim.illustration is None:
        return evidence
    own = claim.illustration(subject.data)
    illustrations = np.stack(
        [gathered.illustrations.get(name, np.full_like(own, np.nan)) for name in names]
    )
    return evidence.assign(
        illustration=(claim.illustration_dims, own),
        null_illustration=(("null", *claim.illustration_dims), illustrations),
    )


def _padded(rows: Sequence[NDArray[Any]]) -> Floats:
    """Rows of unequal length as one array, NaN behind the shorter ones."""
    padded = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded
